/** Starts a service in a process that a test kills: `rabbitmq` or `openbao`, on a folder. Says so on its output, and stays. */
import { startOpenBao } from '../../scripts/services/openbao.ts';
import { startRabbitMq } from '../../scripts/services/rabbitmq.ts';

const [name, dir = ''] = process.argv.slice(2);
await (name === 'rabbitmq' ? startRabbitMq({ dir }) : startOpenBao({ dir }));
console.log('started');
setInterval(() => undefined, 60_000);
