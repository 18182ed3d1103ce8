# Sourced by the suites that are in published crates.

# unpack_crate NAME VERSION DIRECTORY – the crate as published, tests included, as a workspace of its own.
unpack_crate() {
    local name=$1 version=$2 dir=$3
    rm -rf "$dir"
    mkdir -p "$dir.source/src"
    touch "$dir.source/src/lib.rs"
    printf '[package]\nname = "source"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n[workspace]\n' \
        "$name" "$version" > "$dir.source/Cargo.toml"
    (cd "$dir.source" && cargo vendor -q vendor > /dev/null)
    mv "$dir.source/vendor/$name" "$dir"
    rm -rf "$dir.source" "$dir"/rust-toolchain* # The compiler that is here will do.
    printf '\n[workspace]\n' >> "$dir/Cargo.toml"
}
