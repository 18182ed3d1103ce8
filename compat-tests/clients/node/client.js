/** client.js BOOTSTRAP SCENARIO [ARGUMENT]: JSON lines, the last with "passed"; exit code 0 or 1. */
const { Kafka, logLevel } = require('kafkajs');
const scenarios = require('./scenarios');

async function main([bootstrap, scenario, argument]) {
  const say = (fields) => console.log(JSON.stringify({ client: 'kafkajs', scenario, ...fields }));
  try {
    const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    await admin.connect();
    await scenarios[scenario]({ kafka, admin, say }, argument);
    await admin.disconnect();
  } catch (error) {
    say({ passed: false, error: `${error}`, trace: error.stack });
    process.exit(1);
  }
  say({ passed: true });
  process.exit(0);
}

main(process.argv.slice(2));
