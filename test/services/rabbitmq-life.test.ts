/** A RabbitMQ of a test's own stops, dies and comes back as it should, and leaves nothing behind. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { startRabbitMq, type RabbitMqService } from '../../scripts/services/rabbitmq.ts';
import { newServiceFolder, realPartsMissing } from '../support/services.ts';
import { amqp, greetingOverTcp } from './clients.ts';
import { startAndDie } from './killed-starter.ts';
import { noneLeft, processesWith } from './processes.ts';

const QUORUM = { durable: true, arguments: { 'x-queue-type': 'quorum' } };

describe('the life of RabbitMQ', function () {
  this.timeout(120_000);
  let dir: string;
  let service: RabbitMqService;

  before(async function () {
    if (realPartsMissing() !== undefined) this.skip();
    dir = await newServiceFolder('rabbitmq-life');
    service = await startRabbitMq({ dir });
  });
  after(() => service?.stop());

  async function send(text: string): Promise<void> {
    const connection = await amqp(service, service.certificate('writ-orchestrator'));
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue('writ.receipts', QUORUM);
    channel.sendToQueue('writ.receipts', Buffer.from(text), { persistent: true });
    await channel.waitForConfirms();
    await connection.close();
  }

  async function take(): Promise<string> {
    const connection = await amqp(service, service.certificate('writ-orchestrator'));
    const channel = await connection.createChannel();
    await channel.assertQueue('writ.receipts', QUORUM);
    const message = await channel.get('writ.receipts', { noAck: true });
    await connection.close();
    return message === false ? 'nothing' : message.content.toString();
  }

  async function marks(): Promise<string[]> {
    return [dir, await readFile(join(dir, 'node-name'), 'utf8')];
  }

  it('keeps what was confirmed when it is stopped and when it is killed', async () => {
    await send('before stop');
    await service.stop();
    expect(await outcome(greetingOverTcp(service.port))).to.match(/ECONNREFUSED/);
    await noneLeft(await marks(), 0);
    await service.start();
    expect(await take()).to.equal('before stop');
    await send('before kill');
    await service.kill();
    await service.start();
    expect(await take()).to.equal('before kill');
  });

  it('forgets everything when it is wiped, and has its definitions again', async () => {
    await send('before wipe');
    expect(await outcome(service.wipe())).to.match(/stop it/);
    await service.stop();
    await service.wipe();
    await service.start();
    expect(await take()).to.equal('nothing');
  });

  it('keeps its secrets to its account, which is not root', async () => {
    for (const name of ['config', 'home', 'certificates/server.key']) {
      expect((await stat(join(dir, name))).mode & 0o077, name).to.equal(0);
    }
    const accounts = (await processesWith(await marks())).map(({ uid }) => uid);
    expect(accounts).to.not.be.empty;
    expect(accounts).to.not.include(0);
  });

  it('takes up the data of one whose starter was killed', async () => {
    await send('before the end');
    await service.stop();
    await startAndDie('rabbitmq', dir);
    service = await startRabbitMq({ dir });
    expect(await take()).to.equal('before the end');
    await service.stop();
    await noneLeft(await marks(), 0);
  });
});

async function outcome(act: Promise<unknown>): Promise<string> {
  return act.then(
    () => 'done',
    (error: unknown) => `${(error as { code?: string }).code ?? ''} ${(error as Error).message}`,
  );
}
