/** The door at which RabbitMQ asks about nodes: what it cannot read or decide it never allows. */

import { once } from 'node:events';
import { request as send, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { createBrokerAuthDoor } from '../../../src/doors/http/broker-auth.ts';
import type { SideDoor } from '../../../src/doors/http/side-door.ts';
import type { BrokerDenial, BrokerQuestion } from '../../../src/fleet/broker-access.ts';

describe('the door for questions of RabbitMQ', () => {
  let door: SideDoor;
  let port: number;
  let asked: BrokerQuestion[];
  let denied: [BrokerQuestion, BrokerDenial][];
  let failures: unknown[];
  let decide: (question: BrokerQuestion) => Promise<BrokerDenial | undefined>;

  beforeEach(async () => {
    [asked, denied, failures] = [[], [], []];
    decide = () => Promise.resolve(undefined);
    door = createBrokerAuthDoor({
      listen: { host: '127.0.0.1', port: 0 },
      decide: (question) => {
        asked.push(question);
        return decide(question);
      },
      onDenied: (question, reason) => denied.push([question, reason]),
      onFailure: (error) => failures.push(error),
    });
    ({ port } = await door.listen());
  });
  afterEach(() => door.close());

  async function ask(path: string, body: string, method = 'POST'): Promise<string> {
    const request = send({ host: '127.0.0.1', port, path, method, agent: false });
    request.setHeader('Content-Type', 'application/x-www-form-urlencoded');
    request.setHeader('Content-Length', Buffer.byteLength(body));
    request.end(body);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    return `${String(response.statusCode)} ${await text(response)}`;
  }

  const questions: [path: string, body: string, question: BrokerQuestion][] = [
    ['/rabbitmq/user', 'username=a', { about: 'user', user: 'a' }],
    ['/rabbitmq/user', 'username=a&password=b', { about: 'password', user: 'a' }],
    ['/rabbitmq/user', 'username=a&password=', { about: 'password', user: 'a' }],
    ['/rabbitmq/vhost', 'username=a&vhost=%2F&ip=127.0.0.1&tags=', { about: 'vhost', user: 'a', vhost: '/' }],
    [
      '/rabbitmq/resource',
      'username=a&vhost=%2F&resource=queue&name=writ.node.a&permission=read&tags=',
      { about: 'resource', user: 'a', vhost: '/', resource: 'queue', name: 'writ.node.a', permission: 'read' },
    ],
    [
      '/rabbitmq/resource',
      'username=a',
      { about: 'resource', user: 'a', vhost: '', resource: '', name: '', permission: '' },
    ],
    ['/rabbitmq/topic', 'username=a&vhost=%2F&resource=topic&name=x&routing_key=y', { about: 'topic', user: 'a' }],
    ['/rabbitmq/user', '', { about: 'user', user: '' }],
    ['/rabbitmq/user', 'username=a%00b%ff+c', { about: 'user', user: 'a\0b\ufffd c' }],
    ['/rabbitmq/user', 'username=a&username=b', { about: 'user', user: 'a' }],
  ];
  for (const [path, body, question] of questions) {
    it(`asks about ${JSON.stringify(question)} for ${path} ${body}`, async () => {
      expect(await ask(path, body)).to.equal('200 allow');
      expect(asked).to.deep.equal([question]);
      expect(denied).to.deep.equal([]);
    });
  }

  it('answers what is decided, and tells of what is denied', async () => {
    decide = () => Promise.resolve('broker_permission');
    expect(await ask('/rabbitmq/topic', 'username=a')).to.equal('200 deny');
    expect(denied).to.deep.equal([[{ about: 'topic', user: 'a' }, 'broker_permission']]);
  });

  for (const [method, path] of [
    ['GET', '/rabbitmq/user?username=a'],
    ['PUT', '/rabbitmq/user'],
    ['POST', '/rabbitmq/user?x=1'],
    ['POST', '/rabbitmq/users'],
    ['POST', '/rabbitmq/user/'],
    ['POST', '/RABBITMQ/user'],
    ['POST', '/'],
    ['POST', '/rabbitmq/__proto__'],
  ] as const) {
    it(`denies ${method} ${path} without asking`, async () => {
      expect(await ask(path, 'username=a', method)).to.equal('200 deny');
      expect(asked).to.deep.equal([]);
    });
  }

  it('never answers "allow" where nothing can be decided', async () => {
    decide = () => Promise.reject(new Error('the database is away'));
    expect(await ask('/rabbitmq/user', 'username=a')).to.equal('500 ');
    expect(failures).to.have.length(1);
  });

  it('never answers "allow" to a question of over 16 KiB', async () => {
    expect(await ask('/rabbitmq/user', `username=${'a'.repeat(17_000)}`)).to.equal('500 ');
    expect(asked).to.deep.equal([]);
    expect(failures).to.have.length(1);
  });
});
