/** What every `Broker` does, written against AMQP 0-9-1 as RabbitMQ speaks it. */

import { after, afterEach, before, beforeEach, describe } from 'mocha';
import type { BrokerHarness, BrokerPair } from './broker-fixture.ts';
import { connectionContract } from './broker-connection.ts';
import { consumeContract } from './broker-consume.ts';
import { deathContract } from './broker-death.ts';
import { publishContract } from './broker-publish.ts';

/** Defines the suite for one implementation. Queues are left behind with unique names: `stop` may sweep `contract.*`. */
export function brokerContract(name: string, setup: () => Promise<BrokerHarness>): void {
  describe(`${name} keeps the contract of Broker`, () => {
    let harness: BrokerHarness;
    let pair: BrokerPair;
    before(async () => {
      harness = await setup();
    });
    beforeEach(async () => {
      pair = { harness, broker: await harness.connect(), other: await harness.connect() };
    });
    afterEach(async () => {
      await Promise.all([pair.broker.close(), pair.other.close()]);
    });
    after(() => harness.stop());

    publishContract(() => pair);
    consumeContract(() => pair);
    deathContract(() => pair);
    connectionContract(() => pair);
  });
}
