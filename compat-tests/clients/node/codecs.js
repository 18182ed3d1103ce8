/** The codecs kafkajs leaves to others: snappy, lz4, zstd in plain JavaScript. */
const { CompressionCodecs, CompressionTypes } = require('kafkajs');
const lz4 = require('lz4js');
const { ZstdCodec } = require('zstd-codec');

CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy');
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async () => {
    throw new Error('lz4 is for reading only');
  },
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from((await zstd()).compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from((await zstd()).decompress(buffer)),
});

let loaded;
function zstd() {
  loaded ??= new Promise((resolve) => ZstdCodec.run((codec) => resolve(new codec.Streaming())));
  return loaded;
}

/** Without lz4: brokers take only frames of independent blocks, which lz4js does not write; it reads all. */
module.exports = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  zstd: CompressionTypes.ZSTD,
};
