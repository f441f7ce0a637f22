/** The scope decision. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { scope as scopeSchema, type Scope } from '../../src/domain/scope.ts';
import { parseTarget, type Target, type TargetKind } from '../../src/domain/target.ts';
import { decideScope, defaultScope, type ScopeDecision } from '../../src/tools/scope.ts';

const nowMs = Date.parse('2030-01-01T12:00:00Z');

function scopeOf(targets: string[], over: Partial<Scope> = {}): Scope {
  return scopeSchema.parse({ name: 'lab', tools: ['*'], targets, ...over });
}

function target(kind: TargetKind, value: string): Target {
  const read = parseTarget(kind, value, kind);
  if ('problem' in read) throw new Error(`${value}: ${read.problem}`);
  return read;
}

function decide(scope: Scope, targets: Target[], allowPrivate = false): ScopeDecision {
  return decideScope(scope, { tool: 'tcp', action: 'connect', targets, nowMs, allow_private: allowPrivate });
}

function guess(value: string): Target {
  return target(value.startsWith('http') ? 'url' : value.includes('/') ? 'cidr' : 'host', value);
}

const checked = { allowed: true, addresses_must_be_checked: true };
const plain = { allowed: true, addresses_must_be_checked: false };

/** What a server-side request forgery aims at: none of it without a network in the scope or the permission. */
const notPublic = [
  ...[
    'localhost',
    'LOCALHOST.',
    'a.localhost',
    '127.0.0.1',
    '127.255.255.254',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
  ],
  ...[
    '10.0.0.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    'fd00::1',
    'fc00::1',
    'fec0::1',
    '100.64.0.1',
    '0.0.0.0',
  ],
  ...[
    '0.1.2.3',
    '::',
    '::127.0.0.1',
    '169.254.169.254',
    '169.254.170.2',
    'fe80::1',
    'fd00:ec2::254',
    '100.100.100.200',
  ],
  ...[
    '::ffff:169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b:1::1',
    '2002:7f00:1::',
    '2001:0:7f00:1::',
    '192.0.0.192',
  ],
  ...['198.18.0.1', '224.0.0.1', 'ff02::1', '240.0.0.1', '255.255.255.255', '::ffff:255.255.255.255'],
  ...['http://localhost/', 'http://127.0.0.1:9990/', 'http://[::1]/', 'http://[::ffff:127.0.0.1]/', 'http://[::]/'],
  ...[
    'http://169.254.169.254/latest/meta-data/',
    'http://[fd00:ec2::254]/',
    'http://10.0.0.1/',
    'https://192.168.0.1:8443/',
  ],
  ...[
    'http://[fe80::1]/',
    'http://[64:ff9b::7f00:1]/',
    'http://100.100.100.200/',
    'http://0.0.0.0:80/',
    'http://a.localhost./',
  ],
  ...['10.0.0.0/8', '0.0.0.0/0', '::/0', '169.254.169.254/32', '126.0.0.0/7', '8.0.0.0/6', 'fc00::/8', '2000::/3'],
];

describe('decideScope', () => {
  for (const value of notPublic) {
    it(`keeps a principal without a scope away from ${value}`, () => {
      const bounds = defaultScope(new Set(['tasks:submit']));
      expect(decide(bounds.scope, [guess(value)], bounds.allow_private)).to.include({ rule: 'scope_target' });
    });
  }

  it('lets whoever holds targets:private reach all of these', () => {
    const bounds = defaultScope(new Set(['targets:private']));
    for (const value of notPublic)
      expect(decide(bounds.scope, [guess(value)], bounds.allow_private)).to.deep.equal(plain);
  });

  it('lets a principal without a scope reach public targets, and has the addresses of names checked', () => {
    const { scope, allow_private } = defaultScope(new Set());
    for (const value of ['8.8.8.8', '2606:4700::1111', 'https://1.1.1.1/', '8.8.8.0/24']) {
      expect(decide(scope, [guess(value)], allow_private), value).to.deep.equal(plain);
    }
    expect(decide(scope, [guess('example.com')], allow_private)).to.deep.equal(checked);
  });

  it('allows addresses and whole networks inside a network of the scope, in any spelling', () => {
    const scope = scopeOf(['10.1.0.0/16', '2001:db8::/32', '192.0.2.7']);
    for (const value of [
      '10.1.2.3',
      '::ffff:10.1.2.3',
      '::ffff:a01:203',
      '10.1.2.0/24',
      '10.1.0.0/16',
      '2001:DB8::1',
    ]) {
      expect(decide(scope, [guess(value)]), value).to.deep.equal(plain);
    }
    expect(decide(scope, [guess('http://[::ffff:10.1.2.3]/')])).to.deep.equal(plain);
    for (const value of [
      '10.1.0.0/15',
      '10.1.2.3/8',
      '192.0.2.7/24',
      '10.2.0.1',
      '10.0.0.0/8',
      '2001:db9::1',
      '192.0.2.8',
      '192.0.2.0/24',
      '0.0.0.0/0',
      '::/0',
    ]) {
      expect(decide(scope, [guess(value)]), value).to.include({ rule: 'scope_target' });
    }
  });

  it('keeps the families apart', () => {
    expect(decide(scopeOf(['::/0']), [guess('10.0.0.1')])).to.include({ rule: 'scope_target' });
    expect(decide(scopeOf(['::/0']), [guess('::ffff:10.0.0.1')])).to.include({ rule: 'scope_target' });
    expect(decide(scopeOf(['0.0.0.0/0']), [guess('2001:db8::1')])).to.include({ rule: 'scope_target' });
  });

  it('allows names by name and by suffix, never what only looks like them', () => {
    const scope = scopeOf(['Exact.example', '*.sub.example', 'bücher.example']);
    for (const value of [
      'exact.example',
      'EXACT.example.',
      'a.sub.example',
      'a.b.sub.example',
      'xn--bcher-kva.example',
    ]) {
      expect(decide(scope, [guess(value)]), value).to.deep.equal(plain);
    }
    for (const value of [
      'sub.example',
      'a.exact.example',
      'evilsub.example',
      'a.sub.example.evil.example',
      '10.0.0.1',
    ]) {
      expect(decide(scope, [guess(value)]), value).to.include({ rule: 'scope_target' });
    }
  });

  it('leaves a name that matches no rule to the check of its addresses where the scope has networks', () => {
    expect(decide(scopeOf(['10.0.0.0/8']), [guess('db.example')])).to.deep.equal(checked);
    expect(decide(scopeOf(['a.example']), [guess('db.example')])).to.include({ rule: 'scope_target' });
    expect(decide(scopeOf([]), [guess('db.example')])).to.include({ rule: 'scope_target' });
  });

  it('refuses when one of several targets is outside, and names it', () => {
    const decision = decide(scopeOf(['10.0.0.0/8']), [guess('10.0.0.1'), guess('11.0.0.1')]);
    expect(decision).to.include({ rule: 'scope_target' });
    expect(decision).to.have.property('detail').that.includes('11.0.0.1');
  });

  it('judges the text of a target, not the members beside it', () => {
    const forged: Target = { kind: 'host', value: '127.0.0.1', host: '10.0.0.1', path: 'host' };
    expect(decide(scopeOf(['10.0.0.0/8']), [forged])).to.include({ rule: 'scope_target' });
    const broken: Target = { kind: 'url', value: 'http://a@127.0.0.1/', host: '10.0.0.1', path: 'url' };
    expect(decide(scopeOf(['10.0.0.0/8']), [broken])).to.include({ rule: 'scope_target' });
  });

  it('allows only the tools of the scope', () => {
    for (const [tools, allowed] of [
      [['*'], true],
      [['tcp.*'], true],
      [['tcp.connect'], true],
      [['tcp.listen', 'tls.*'], false],
    ] as const) {
      const scope = scopeOf([], { tools: [...tools] });
      expect(decide(scope, []).allowed, tools.join()).to.equal(allowed);
    }
    expect(decide(scopeOf([], { tools: ['tls.*'] }), [])).to.include({ rule: 'scope_tool' });
  });

  it('allows only in the window, its end excluded', () => {
    const at = (not_before: string, not_after: string) => decide(scopeOf([], { not_before, not_after }), []);
    expect(at('2030-01-01T12:00:00Z', '2030-01-01T12:00:01Z').allowed).to.equal(true);
    expect(at('2030-01-01T12:00:00.001Z', '2031-01-01T00:00:00Z')).to.include({ rule: 'scope_window' });
    expect(at('2029-01-01T00:00:00Z', '2030-01-01T13:00:00+01:00')).to.include({ rule: 'scope_window' });
  });

  it('allows nothing when a window or a rule cannot be read', () => {
    const unread = { name: 'x', tools: ['*'], targets: ['10.0.0.0/99'], not_before: 'soon' };
    expect(decide(unread, [])).to.include({ rule: 'scope_window' });
    expect(decide({ ...unread, not_before: '2000-01-01T00:00:00Z' }, [guess('10.0.0.1')])).to.include({
      allowed: false,
    });
  });

  it('refuses scopes that say what cannot be meant', () => {
    for (const wrong of [
      { targets: ['10.0.0.0/33'] },
      { targets: ['0177.0.0.1'] },
      { targets: ['*.10.0.0.1'] },
      { targets: ['fe80::1%eth0'] },
      { tools: ['tcp'] },
      { tools: [] },
      { not_before: '2031-01-01T00:00:00Z', not_after: '2030-01-01T00:00:00Z' },
      { note: 'unknown' },
    ]) {
      const read = scopeSchema.safeParse({ name: 'lab', tools: ['*'], targets: [], ...wrong });
      expect(read.success, JSON.stringify(wrong)).to.equal(false);
    }
  });
});
