/** The command `writ doctor`: its lines, its JSON, its exit code, and that it ends whatever it talks to. */

import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Finding } from '../../src/app/doctor/finding.ts';
import { run, type Ran } from './run.ts';

interface Report {
  ok: number;
  warn: number;
  fail: number;
  findings: Finding[];
}

/** Nothing is there. */
const nowhere = {
  DATABASE_URL: 'postgres://writ:secret@127.0.0.1:1/writ',
  HTTP_LISTEN: '127.0.0.1:1',
  RABBITMQ_URL: 'amqps://127.0.0.1:1',
  RABBITMQ_MANAGEMENT_URL: 'http://127.0.0.1:1',
  VAULT_ADDR: 'https://127.0.0.1:1',
  VAULT_TOKEN: 's.secret',
  ORCHESTRATOR_URL: 'http://127.0.0.1:1',
  NODE_DATA_DIR: '/nonexistent/node',
};

describe('writ doctor, the command', function () {
  this.timeout(60_000);

  function reportOf({ stdout }: Ran): Report {
    return JSON.parse(stdout) as Report;
  }

  it('shows a line for each check, with what to do, and ends with 1 where something is wrong', async () => {
    const { code, stdout, stderr } = await run(['doctor'], { environment: nowhere });
    expect(code).to.equal(1);
    const lines = stdout.trimEnd().split('\n');
    for (const line of lines) expect(line).to.match(/^(OK  |WARN|FAIL) {2}\S.* {2}\S.*\.$/);
    expect(stdout).to.match(
      /^FAIL {2}postgresql +PostgreSQL does not answer: .* Start it, or correct host and port\.$/m,
    );
    expect(stdout).to.match(/^FAIL {2}vault +Vault does not answer: nothing listens at VAULT_ADDR\./m);
    expect(stdout).to.match(/^OK {4}tools +The catalog has \d+ tools\.$/m);
    expect(stderr).to.match(/^\d+ OK, \d+ to look at, \d+ wrong\n$/);
    expect(stdout + stderr)
      .not.to.include('secret')
      .and.not.include('\u001b');
  });

  it('gives programs one document', async () => {
    const ran = await run(['doctor', '--json'], { environment: nowhere });
    const { ok, warn, fail, findings } = reportOf(ran);
    expect(ran.code).to.equal(1);
    expect(ran.stderr).to.equal('');
    expect(ok + warn + fail).to.equal(findings.length);
    for (const { check, level, message } of findings) {
      expect(level).to.be.oneOf(['ok', 'warn', 'fail']);
      expect([check, message].every((text) => text !== '')).to.equal(true);
    }
    expect(findings.filter(({ level }) => level === 'fail')).to.have.length(fail);
  });

  it('says why nothing was checked where settings are wrong, with 1 as well', async () => {
    const ran = await run(['doctor', '--json', '--config', '/nonexistent/writ.yaml'], { environment: {} });
    expect(ran.code).to.equal(1);
    const [finding] = reportOf(ran).findings;
    expect(finding).to.include({ check: 'settings', level: 'fail' });
    expect(finding?.message).to.include('/nonexistent/writ.yaml');
    const steering = await run(['doctor'], { environment: { LOG_LEVEL: 'x', WRIT_CONFIG: 'a\u001b[31m.yaml' } });
    expect(steering.stdout).to.include('\\u001b[31m').and.not.include('\u001b');
  });

  it('looks at a node with --node, and ends with 0 where nothing is wrong', async () => {
    const wrong = await run(['doctor', '--node', '--json'], { environment: nowhere });
    expect(wrong.code).to.equal(1);
    expect(reportOf(wrong).findings.map(({ check }) => check)).to.include.members([
      'identity',
      'orchestrator',
      'broker',
    ]);
    const server = createServer((socket: Socket) => {
      const date = 'Date: Thu, 01 Jan 2026 01:00:00 GMT\r\n';
      socket.on('error', () => undefined);
      socket.end(`HTTP/1.1 200 OK\r\n${date}Content-Length: 15\r\n\r\n{"status":"ok"}`);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const good = { ...nowhere, ORCHESTRATOR_URL: `http://127.0.0.1:${port.toString()}`, JOIN_TOKEN: 'writ_join_x' };
    const right = await run(['doctor', '--node'], { environment: good });
    server.close();
    expect(right.stdout).to.match(/^OK {4}clock +This machine's clock and that of the orchestrator agree/m);
    expect(right.stdout).to.match(/^WARN {2}identity +The node has not joined yet/m);
    expect(right.code).to.equal(0);
  });

  describe('where everything takes connections and says nothing', () => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket.on('error', () => undefined));
    });
    let environment: Record<string, string>;
    before(async () => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      environment = Object.fromEntries(
        Object.entries(nowhere).map(([name, value]) => [name, value.replace(/127\.0\.0\.1:1\b/, `127.0.0.1:${port}`)]),
      );
    });
    after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });

    it('ends all the same, and says of each that it does not answer in time', async () => {
      const startedMs = performance.now();
      const [installation, node] = await Promise.all([
        run(['doctor', '--json'], { environment }),
        run(['doctor', '--node', '--json'], { environment }),
      ]);
      expect(performance.now() - startedMs).to.be.below(30_000);
      const late = [...reportOf(installation).findings, ...reportOf(node).findings]
        .filter(({ level, message }) => level === 'fail' && message.includes('in time'))
        .map(({ check }) => check);
      expect(late).to.include.members(['postgresql', 'rabbitmq management', 'vault', 'orchestrator']);
    });
  });
});
