// franz-go's registry client: registry BOOTSTRAP api REGISTRY. Prints JSON lines.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
)

const (
	first  = `{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}`
	second = `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":0}]}`
	broken = `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"c","type":"int"}]}`
)

func say(fields map[string]any) {
	line, _ := json.Marshal(fields)
	fmt.Println(string(line))
}

func check(what string, found, expected any) {
	if fmt.Sprint(found) != fmt.Sprint(expected) {
		panic(fmt.Errorf("%s: %v is not %v", what, found, expected))
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func refused(code int, err error) {
	var answer *sr.ResponseError
	if !errors.As(err, &answer) {
		panic(fmt.Errorf("no answer of the registry: %v", err))
	}
	check("error code", answer.ErrorCode, code)
}

func api(client *sr.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	subject := fmt.Sprintf("go/%d", time.Now().UnixNano())
	avro := func(text string) sr.Schema { return sr.Schema{Schema: text, Type: sr.TypeAvro} }

	types := must(client.SupportedTypes(ctx))
	check("types", len(types), 3)
	one := must(client.CreateSchema(ctx, subject, avro(first)))
	two := must(client.CreateSchema(ctx, subject, avro(second)))
	check("versions", must(client.SubjectVersions(ctx, subject)), []int{1, 2})
	check("the same again", must(client.CreateSchema(ctx, subject, avro(first))).ID, one.ID)
	check("by id", must(client.SchemaByID(ctx, two.ID)).Schema, second)
	check("text by version", must(client.SchemaTextByVersion(ctx, subject, 1)), first)
	check("latest", must(client.SchemaByVersion(ctx, subject, -1)).ID, two.ID)
	check("looked up", must(client.LookupSchema(ctx, subject, avro(second))).Version, 2)
	check("subjects of id", must(client.SubjectsByID(ctx, one.ID)), []string{subject})
	check("usages", len(must(client.SchemaUsagesByID(ctx, one.ID))), 1)
	fits := must(client.CheckCompatibility(ctx, subject, -1, avro(broken)))
	check("fits", fits.Is, false)
	_, err := client.CreateSchema(ctx, subject, avro(broken))
	refused(409, err)

	level := client.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatFull}, subject)
	check("level set", level[0].Err, nil)
	check("level", client.Compatibility(ctx, subject)[0].Level, sr.CompatFull)
	check("reset", client.ResetCompatibility(ctx, subject)[0].Err, nil)
	check("mode", client.Mode(ctx)[0].Mode, sr.ModeReadWrite)
	_, err = client.SubjectVersions(ctx, "none")
	refused(40401, err)
	_, err = client.SchemaByID(ctx, 999_999)
	refused(40403, err)

	reference := sr.SchemaReference{Name: "R", Subject: subject, Version: 1}
	user := sr.Schema{Schema: `["null","R"]`, Type: sr.TypeAvro, References: []sr.SchemaReference{reference}}
	must(client.CreateSchema(ctx, subject+"-user", user))
	check("references", len(must(client.SchemaReferences(ctx, subject, 1))), 1)
	refused(42206, client.DeleteSchema(ctx, subject, 1, sr.SoftDelete))
	must(client.DeleteSubject(ctx, subject+"-user", sr.SoftDelete))
	must(client.DeleteSubject(ctx, subject+"-user", sr.HardDelete))
	check("deleted", must(client.DeleteSubject(ctx, subject, sr.SoftDelete)), []int{1, 2})
	must(client.DeleteSubject(ctx, subject, sr.HardDelete))

	var serde sr.Serde
	serde.Register(one.ID, map[string]int{}, sr.EncodeFn(json.Marshal), sr.DecodeFn(json.Unmarshal))
	encoded := must(serde.Encode(map[string]int{"a": 1}))
	check("magic", encoded[0], 0)
}

func main() {
	defer func() {
		if failure := recover(); failure != nil {
			say(map[string]any{"passed": false, "error": fmt.Sprint(failure)})
			os.Exit(1)
		}
		say(map[string]any{"passed": true})
	}()
	api(must(sr.NewClient(sr.URLs("http://" + os.Args[3]))))
}
