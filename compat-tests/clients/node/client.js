/** client.js LIBRARY BOOTSTRAP SCENARIO [ARGUMENT]: JSON lines, the last with "passed"; exit code 0 or 1. */
const scenarios = require('./scenarios');

const LIBRARIES = {
  kafkajs: './kafkajs',
  'confluent-js': './confluent',
  'confluent-js-callbacks': './confluent_callbacks',
};

async function main([library, bootstrap, scenario, argument]) {
  const say = (fields) => console.log(JSON.stringify({ client: library, scenario, ...fields }));
  try {
    const client = await require(LIBRARIES[library]).open(bootstrap);
    await scenarios[scenario](client, say, argument);
    await client.close();
  } catch (error) {
    say({ passed: false, error: `${error}`, trace: error.stack });
    process.exit(1);
  }
  say({ passed: true });
  process.exit(0);
}

main(process.argv.slice(2));
