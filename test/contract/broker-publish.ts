/** Contract of `Broker`: topology, routing, confirms, returned and refused messages. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { collect, idsOf, makeQueue, message, outcomesOf, send, uniqueName, type BrokerPair } from './broker-fixture.ts';
import { failureCode } from './failure-code.ts';

export function publishContract(pair: () => BrokerPair): void {
  describe('declaring', () => {
    it('changes nothing when declared again with the same arguments', async () => {
      const { broker, other } = pair();
      const queue = await makeQueue(broker, { maxLength: 5 });
      await send(broker, queue, 'a');
      await other.declare({ exchanges: [], queues: [{ name: queue, type: 'classic', maxLength: 5 }], bindings: [] });
      expect(await other.depth(queue)).to.equal(1);
    });

    it('fails with conflict where a queue or an exchange exists in another form', async () => {
      const { broker, other } = pair();
      const queue = await makeQueue(broker, { messageTtlMs: 60_000 });
      const exchange = uniqueName('exchange');
      await broker.declare({ exchanges: [{ name: exchange, type: 'topic' }], queues: [], bindings: [] });
      const declareQueue = () =>
        other.declare({ exchanges: [], queues: [{ name: queue, type: 'classic', messageTtlMs: 1 }], bindings: [] });
      const declareExchange = () =>
        other.declare({ exchanges: [{ name: exchange, type: 'direct' }], queues: [], bindings: [] });
      expect(await failureCode(declareQueue)).to.equal('conflict');
      expect(await failureCode(declareExchange)).to.equal('conflict');
      expect(outcomesOf(await send(other, queue, 'a')), 'the connection is still good').to.deep.equal(['confirmed']);
    });

    it('fails with not_found for a binding to what is not there, and for the depth of no queue', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker);
      const bind = () =>
        broker.declare({ exchanges: [], queues: [], bindings: [{ exchange: uniqueName('no'), queue, pattern: '#' }] });
      expect(await failureCode(bind)).to.equal('not_found');
      expect(await failureCode(() => broker.depth(uniqueName('no')))).to.equal('not_found');
    });

    it('deletes a queue with its messages, and minds none that is not there', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker);
      await send(broker, queue, 'a');
      await broker.deleteQueue(queue);
      await broker.deleteQueue(queue);
      expect(await failureCode(() => broker.depth(queue))).to.equal('not_found');
    });
  });

  describe('routing', () => {
    it('follows the words and wildcards of a topic', async () => {
      const { broker } = pair();
      const exchange = uniqueName('topic');
      const names = { star: uniqueName('star'), hash: uniqueName('hash'), exact: uniqueName('exact') };
      await broker.declare({
        exchanges: [{ name: exchange, type: 'topic' }],
        queues: Object.values(names).map((name) => ({ name, type: 'classic' })),
        bindings: [
          { exchange, queue: names.star, pattern: 'task.*.done' },
          { exchange, queue: names.hash, pattern: 'task.#' },
          { exchange, queue: names.exact, pattern: 'task.a.done' },
        ],
      });
      const keys = ['task', 'task.a.done', 'task.b.done', 'task.a.b.done', 'tasks.a.done'];
      const outcomes = await broker.publish(keys.map((key) => message('', key, { exchange, routingKey: key })));
      expect(outcomesOf(outcomes)).to.deep.equal(['confirmed', 'confirmed', 'confirmed', 'confirmed', 'returned']);
      const got = async (queue: string, count: number) => idsOf(await (await collect(broker, queue)).next(count));
      expect(await got(names.star, 2)).to.deep.equal(['task.a.done', 'task.b.done']);
      expect(await got(names.hash, 4)).to.deep.equal(keys.slice(0, 4));
      expect(await got(names.exact, 1)).to.deep.equal(['task.a.done']);
    });

    it('puts one copy into each queue, whichever and however many bindings lead there', async () => {
      const { broker } = pair();
      const exchange = uniqueName('direct');
      const queues = [uniqueName('one'), uniqueName('two')];
      await broker.declare({
        exchanges: [{ name: exchange, type: 'direct' }],
        queues: queues.map((name) => ({ name, type: 'classic' })),
        bindings: [
          { exchange, queue: queues[0] ?? '', pattern: 'a' },
          { exchange, queue: queues[0] ?? '', pattern: 'a' },
          { exchange, queue: queues[1] ?? '', pattern: 'a' },
          { exchange, queue: queues[1] ?? '', pattern: 'a.*' },
        ],
      });
      const outcomes = await broker.publish(['a', 'a.b'].map((key) => message('', key, { exchange, routingKey: key })));
      expect(outcomesOf(outcomes)).to.deep.equal(['confirmed', 'returned']);
      expect(await Promise.all(queues.map((queue) => broker.depth(queue)))).to.deep.equal([1, 1]);
    });
  });

  describe('publishing', () => {
    it('answers one outcome for each message, in order, and returns what no queue takes', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker);
      const nowhere = uniqueName('nowhere');
      const outcomes = await broker.publish([
        message(queue, 'a'),
        message(nowhere, 'b'),
        message(nowhere, 'c', { mandatory: false }),
        message(queue, 'd'),
      ]);
      expect(outcomesOf(outcomes)).to.deep.equal(['confirmed', 'returned', 'confirmed', 'confirmed']);
      expect(await broker.depth(queue)).to.equal(2);
      expect(await broker.publish([])).to.deep.equal([]);
    });

    it('does not confirm what goes to an exchange that is not there, and goes on', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker);
      const [lost] = await broker.publish([message('a', 'a', { exchange: uniqueName('missing') })]);
      expect(lost?.outcome).to.be.oneOf(['refused', 'unconfirmed']);
      expect(outcomesOf(await send(broker, queue, 'b'))).to.deep.equal(['confirmed']);
    });

    it('refuses a body over 16 MiB and keeps its neighbours', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker);
      const outcomes = await broker.publish([
        message(queue, 'a'),
        message(queue, 'b', { body: Buffer.alloc(16 * 1024 * 1024 + 1) }),
        message(queue, 'c'),
      ]);
      expect(outcomesOf(outcomes)).to.deep.equal(['confirmed', 'refused', 'confirmed']);
      expect(outcomes[1]?.reason).to.equal('too_large');
    });

    it('refuses properties that AMQP cannot carry and keeps their neighbours', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker);
      const outcomes = await broker.publish([
        message(queue, 'x'.repeat(256)),
        message(queue, 'b', { expirationMs: 1.5 }),
        message(queue, 'c'),
      ]);
      expect(outcomesOf(outcomes)).to.deep.equal(['refused', 'refused', 'confirmed']);
    });

    it('refuses what goes over the length of a queue, until there is room', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker, { maxLength: 2 });
      expect(outcomesOf(await send(broker, queue, 'a', 'b', 'c'))).to.deep.equal(['confirmed', 'confirmed', 'refused']);
      const { next, consumer } = await collect(broker, queue, 1);
      consumer.ack(await next(1));
      consumer.ack(await next(1));
      expect(outcomesOf(await send(broker, queue, 'd'))).to.deep.equal(['confirmed']);
    });

    it('carries body and properties unchanged', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker, { type: 'quorum' });
      const body = Buffer.from([0, 255, 10, 13, 128]);
      await broker.publish([message(queue, 'ä-id', { body, headers: { 'x-name': 'wert', 'x-count': 7 } })]);
      const [delivery] = await (await collect(broker, queue)).next(1);
      expect(Buffer.from(delivery?.body ?? []).equals(body)).to.equal(true);
      expect(delivery).to.include({
        messageId: 'ä-id',
        type: 'contract.test',
        contentType: 'text/plain',
        exchange: '',
        routingKey: queue,
        redelivered: false,
      });
      expect(delivery?.headers).to.include({ 'x-name': 'wert', 'x-count': 7 });
      expect(delivery?.deaths).to.deep.equal([]);
    });

    it('has taken the message when publish returns: what the caller changes afterwards changes nothing', async () => {
      const { broker } = pair();
      const queue = await makeQueue(broker);
      const body = Buffer.from('before');
      const headers = { 'x-name': 'before' };
      const published = broker.publish([message(queue, 'a', { body, headers })]);
      body.fill(0);
      headers['x-name'] = 'after';
      await published;
      const [delivery] = await (await collect(broker, queue)).next(1);
      expect(Buffer.from(delivery?.body ?? []).toString()).to.equal('before');
      expect(delivery?.headers).to.include({ 'x-name': 'before' });
    });
  });
}
