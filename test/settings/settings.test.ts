/** Settings from flags, environment, file and defaults: which wins, what is refused, and what is shown to nobody. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { AppError } from '../../src/domain/error.ts';
import type { Definition } from '../../src/settings/definition.ts';
import {
  definitions,
  describeSettings,
  loadSettings,
  type SettingKey,
  type Settings,
  type SettingSource,
  type SettingsInput,
} from '../../src/settings/settings.ts';
import { makeDirectory } from '../platform/keys/temporary-directory.ts';

const secret = 'CANARY-secret-4b1d';

const secrets = (Object.entries(definitions) as [SettingKey, Definition<unknown>][]).filter(
  ([, { isSecret }]) => isSecret === true,
);

describe('settings', () => {
  let folder: string;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    ({ directory: folder, remove } = await makeDirectory());
  });
  afterEach(() => remove());

  /** Writes a file and answers its path. */
  async function write(text: string, name = 'writ.yaml'): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, text);
    return path;
  }

  const load = (input: SettingsInput): ReturnType<typeof loadSettings> => loadSettings({ environment: {}, ...input });

  /** What is told of wrong settings, one line for each. No part of the failure shows a secret. */
  function problemsOf(input: SettingsInput): string[] {
    try {
      load(input);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      expect([error.code, error.reason]).to.deep.equal(['invalid', 'invalid_settings']);
      expect(inspect(error, { depth: 10, showHidden: true })).to.not.include(secret);
      const told = (error.details.errors ?? []).map(({ path, message }) => `${path}: ${message}`);
      for (const line of told) expect(error.message).to.include(line);
      return told;
    }
    return [];
  }

  describe('that are no secrets', () => {
    it('are the defaults where nothing is given, and say so', () => {
      const { settings, sources } = load({});
      expect(settings).to.include({ cluster_name: 'writ', node_slots: 16, vault_verify_tls: true, database_url: '' });
      expect(settings.http_trusted_proxies).to.deep.equal([]);
      expect(new Set(Object.values(sources))).to.deep.equal(new Set(['default']));
    });

    const layers: [source: SettingSource, value: string][] = [
      ['flag', 'by-flag'],
      ['environment', 'by-environment'],
      ['file', 'by-file'],
      ['default', 'by-command'],
    ];
    for (const [i, [source, value]] of layers.entries()) {
      it(`come from ${source} where that is the first of flag, environment, file and default to have them`, async () => {
        const has = (other: SettingSource): boolean => layers.findIndex(([name]) => name === other) >= i;
        const { settings, sources } = load({
          ...(has('flag') ? { flags: { cluster_name: 'by-flag' } } : { flags: { cluster_name: undefined } }),
          environment: has('environment') ? { CLUSTER_NAME: 'by-environment' } : {},
          ...(has('file') ? { file: await write('cluster_name: by-file') } : {}),
          defaults: { cluster_name: 'by-command' },
        });
        expect([settings.cluster_name, sources.cluster_name]).to.deep.equal([value, source]);
      });
    }

    it('come from the file that WRIT_CONFIG names, unless another one is given', async () => {
      const named = await write('cluster_name: named', 'named.yaml');
      const given = await write('cluster_name: given', 'given.yaml');
      const environment = { WRIT_CONFIG: named };
      expect(load({ environment }).settings.cluster_name).to.equal('named');
      expect(load({ environment, file: given }).settings.cluster_name).to.equal('given');
      expect(load({ environment: { WRIT_CONFIG: '' } }).settings.cluster_name).to.equal('writ');
    });

    it('mean the same in each place', async () => {
      const environment = { HEARTBEAT_INTERVAL_S: '2.5', HTTP_ALLOW_PLAINTEXT: 'true', HTTP_TRUSTED_PROXIES: 'a,b' };
      const file = await write('heartbeat_interval_s: 2.5\nhttp_allow_plaintext: true\nhttp_trusted_proxies: a,b\n');
      for (const input of [{ environment }, { file }]) {
        const { heartbeat_interval_s, http_allow_plaintext, http_trusted_proxies } = load(input).settings;
        expect([heartbeat_interval_s, http_allow_plaintext, http_trusted_proxies]).to.deep.equal([
          2.5,
          true,
          ['a', 'b'],
        ]);
      }
      expect(load({ flags: { heartbeat_interval_s: 2.5 } }).settings.heartbeat_interval_s).to.equal(2.5);
    });

    it('are one object that nobody changes, nor what is in it', () => {
      const { settings } = load({ environment: { NODE_LABELS: 'rack=7' } });
      expect(Object.isFrozen(settings)).to.equal(true);
      for (const value of Object.values(settings)) expect(Object.isFrozen(value)).to.equal(true);
      expect(() => (settings.http_trusted_proxies as string[]).push('10.0.0.0/8')).to.throw(TypeError);
    });
  });

  describe('that are wrong', () => {
    it('are told all at once, each by the name by which it was given', async () => {
      const problems = problemsOf({
        flags: { http_listen: 'nowhere' },
        environment: { NODE_SLOTS: '0', LOG_LEVEL: 'loud', VAULT_TOKEN: secret, VAULT_TOKEN_FILE: '/x' },
        file: await write(`cluster_name: "a b"\nno_such_setting: 1\njoin_token_file: ${folder}/none\n`),
      });
      const names = problems.map((problem) => /^(?:.*: )?([\w-]+): /.exec(problem)?.[1]);
      expect(names).to.have.members([
        '--http-listen',
        'NODE_SLOTS',
        'LOG_LEVEL',
        'VAULT_TOKEN',
        'cluster_name',
        'no_such_setting',
        'join_token_file',
      ]);
    });

    const keys = [
      'no_such_setting',
      'HTTP_LISTEN',
      'http-listen',
      'http_listen_file',
      'cluster_name_file',
      'vault_role_id_file',
      '_file',
      '__proto__',
      'constructor',
      'toString',
      'join_token_file_file',
    ];
    for (const key of keys) {
      it(`are told where the file has ${key}, which is no setting`, async () => {
        const file = await write(`${key}: x\n`);
        expect(problemsOf({ file })).to.deep.equal([`${file}: ${key}: is not a setting`]);
      });
    }

    const noNumbers = ['', ' ', 'x', '0x10', '1e3', '1_000', '١', 'NaN', 'Infinity', '-1', '5 s', 'true', '1,5'];
    for (const value of noNumbers) {
      it(`are told where a number is ${JSON.stringify(value)}: it is never taken for 0 or for something else`, () => {
        for (const key of ['KEY_ACTIVATION_S', 'BACKLOG_MAX', 'NODE_SLOTS', 'MAX_RETRIES']) {
          expect(problemsOf({ environment: { [key]: value } }), key).to.have.length(1);
        }
      });
    }

    for (const value of ['', 'null', '~', '[5]', '[]', '{}', '{a: 1}', '"5 s"', 'true', '.inf', '.nan', '2026-01-01']) {
      it(`are told where a number in the file is ${value === '' ? 'nothing' : value}`, async () => {
        expect(problemsOf({ file: await write(`key_activation_s: ${value}\n`) })).to.have.length(1);
        expect(problemsOf({ file: await write(`max_retries: ${value}\n`) })).to.have.length(1);
      });
    }

    for (const value of [
      '',
      ' ',
      '8080',
      'localhost',
      ':80',
      'a:b',
      'a:65536',
      'a:99999',
      'a b:1',
      'http://a:1',
      '::1:80',
    ]) {
      it(`are told where an address to listen at is ${JSON.stringify(value)}`, () => {
        expect(problemsOf({ environment: { HTTP_LISTEN: value } })).to.have.length(1);
      });
    }

    it('are not those that only look so', () => {
      const environment = {
        HTTP_LISTEN: '[::1]:65535',
        KEY_ACTIVATION_S: '0',
        RETRY_INITIAL_S: '0.25',
        BACKLOG_MAX: '007',
      };
      const { settings } = load({ environment });
      expect(settings).to.include({
        http_listen: '[::1]:65535',
        key_activation_s: 0,
        retry_initial_s: 0.25,
        backlog_max: 7,
      });
    });

    for (const [what, text] of [
      ['a list', '- a\n'],
      ['a text', 'cluster_name'],
      ['a number', '7\n'],
      ['two documents', 'cluster_name: a\n---\ncluster_name: b\n'],
      ['a key twice', 'cluster_name: a\ncluster_name: b\n'],
      ['an alias', 'cluster_name: &a x\nlog_level: *a\n'],
      ['a bomb of aliases', `a: &a [x]\n${'b: [*a,*a]\n'.repeat(2)}`],
      ['an open quote', `join_token: "${secret}\n`],
      ['a tab', `vault_token: ${secret}\n\tx: 1\n`],
      ['a colon too much', `join_token: ${secret}: x\n`],
    ] as const) {
      it(`are told where the file holds ${what}, by the name of the file and without what is in it`, async () => {
        const file = await write(text);
        const problems = problemsOf({ file });
        expect(problems).to.have.length(1);
        expect(problems[0])
          .to.match(/: (is not a table of keys and values|cannot be read.*)$/)
          .and.include(file);
      });
    }

    it('are told with the line where the file is no YAML', async () => {
      const [problem] = problemsOf({ file: await write(`cluster_name: a\njoin_token: "${secret}\n`) });
      expect(problem).to.match(/cannot be read \(MISSING_CHAR in line \d\)$/);
    });

    it('are told where the file cannot be read, by its name', () => {
      for (const file of [join(folder, 'none.yaml'), folder]) {
        const [problem] = problemsOf({ file });
        expect(problem)
          .to.match(/: cannot be read \((ENOENT|EISDIR)\)$/)
          .and.include(file);
      }
    });

    it('say nothing to the log of the process: a warning of the parser would quote a secret', async () => {
      const warnings: Error[] = [];
      const take = (warning: Error): void => void warnings.push(warning);
      process.on('warning', take);
      load({ file: await write(`join_token: !vault ${secret}\n`) });
      await new Promise((resolve) => setImmediate(resolve));
      process.off('warning', take);
      expect(warnings.map(String).join()).to.not.include(secret);
    });
  });

  describe('that are secrets', () => {
    it('are all that hold one', () => {
      expect(secrets.map(([key]) => key)).to.include.members([
        'database_url',
        'join_token',
        'management_auth_token',
        'rabbitmq_ssl_passphrase',
        'rabbitmq_management_password',
        'vault_token',
        'vault_secret_id',
        'vault_wrapped_secret_id',
      ]);
      const names = Object.keys(definitions).filter((key) => /token|secret|pass|password/.test(key));
      expect(names.filter((key) => !secrets.some(([name]) => name === key))).to.deep.equal([]);
    });

    for (const [key, { env }] of secrets) {
      it(`${key} comes from ${env}, ${env}_FILE, ${key} or ${key}_file, and is never shown`, async () => {
        const path = await write(`\n  ${secret}\n`, 'secret');
        const inputs: [input: SettingsInput, source: SettingSource][] = [
          [{ environment: { [env]: secret } }, 'environment'],
          [{ environment: { [`${env}_FILE`]: path } }, 'environment'],
          [{ environment: {}, file: await write(`${key}: ${secret}\n`, 'a.yaml') }, 'file'],
          [{ environment: {}, file: await write(`${key}_file: ${path}\n`, 'b.yaml') }, 'file'],
        ];
        for (const [input, source] of inputs) {
          const { settings, sources } = load(input);
          expect([settings[key], sources[key]]).to.deep.equal([secret, source]);
          const described = describeSettings({ environment: {}, ...input });
          expect(described.find((setting) => setting.key === key)).to.include({
            value: '***',
            source,
            environment: env,
          });
          expect(JSON.stringify(described)).to.not.include(secret);
        }
      });
    }

    it('that are empty or not given are shown as such, and not as if there were one', async () => {
      const path = await write('\n', 'empty');
      for (const environment of [{}, { JOIN_TOKEN: '' }, { JOIN_TOKEN_FILE: path }, { JOIN_TOKEN_FILE: '' }]) {
        expect(shown(describeSettings({ environment }), 'join_token')).to.equal('');
      }
      const file = await write('join_token_file: ""\n');
      expect(shown(describeSettings({ environment: {}, file }), 'join_token')).to.equal('');
      expect(load({ file }).sources.join_token).to.equal('default');
    });

    it('in the environment go before those in the file, in whichever way they are given', async () => {
      const path = await write(secret, 'secret');
      const other = await write('other', 'other');
      for (const text of ['join_token: other\n', `join_token_file: ${other}\n`]) {
        const file = await write(text);
        for (const environment of [{ JOIN_TOKEN: secret }, { JOIN_TOKEN_FILE: path }]) {
          expect(load({ environment, file }).settings.join_token).to.equal(secret);
        }
      }
    });

    it('are refused where they are given twice in one place', async () => {
      const path = await write(secret, 'secret');
      expect(problemsOf({ environment: { JOIN_TOKEN: secret, JOIN_TOKEN_FILE: path } })).to.deep.equal([
        'JOIN_TOKEN: and JOIN_TOKEN_FILE are both set: unset one of them',
      ]);
      const file = await write(`join_token: ${secret}\njoin_token_file: ${path}\n`);
      expect(problemsOf({ file })).to.deep.equal(['join_token: and join_token_file are both set: remove one of them']);
    });

    it('are refused where their file cannot be read, and the file is named, once', async () => {
      const none = join(folder, 'none');
      expect(problemsOf({ environment: { JOIN_TOKEN_FILE: none } })).to.deep.equal([
        `JOIN_TOKEN_FILE: ${none} cannot be read (ENOENT)`,
      ]);
      expect(problemsOf({ file: await write(`join_token_file: ${none}\n`) })).to.deep.equal([
        `join_token_file: ${none} cannot be read (ENOENT)`,
      ]);
      await mkdir(none);
      expect(problemsOf({ environment: { JOIN_TOKEN_FILE: none } })).to.deep.equal([
        `JOIN_TOKEN_FILE: ${none} cannot be read (EISDIR)`,
      ]);
    });

    it('of the file count for nothing beside a file of the environment that cannot be read', async () => {
      const none = join(folder, 'none');
      const file = await write('join_token: other\n');
      expect(problemsOf({ environment: { JOIN_TOKEN_FILE: none }, file })).to.have.length(1);
    });

    it('are refused where the path of their file is no text', async () => {
      for (const value of ['7', '[a]', 'null', 'true']) {
        expect(problemsOf({ file: await write(`join_token_file: ${value}\n`) }), value).to.deep.equal([
          'join_token_file: the path of a file',
        ]);
      }
    });

    it('are refused where YAML reads a number in place of their digits', async () => {
      for (const value of ['0012345678', '12345678901234567890', '1e5', 'true', 'null', '[a]']) {
        expect(problemsOf({ file: await write(`management_auth_token: ${value}\n`) }), value).to.have.length(1);
      }
      const quoted = await write('management_auth_token: "0012345678"\n');
      expect(load({ file: quoted }).settings.management_auth_token).to.equal('0012345678');
    });

    it('are not taken from flags: what is in the arguments of a process everybody sees', () => {
      expect(load({ flags: { join_token: secret } }).settings.join_token).to.equal('');
    });
  });

  it('are described whole, in their order, with what is no secret as it is', () => {
    const described = describeSettings({ environment: { CLUSTER_NAME: 'lab', NODE_LABELS: 'a=b' } });
    expect(described.map(({ key }) => key)).to.deep.equal(Object.keys(definitions));
    expect(shown(described, 'cluster_name')).to.equal('lab');
    expect(shown(described, 'node_labels')).to.deep.equal({ a: 'b' });
    const variables = described.map(({ environment }) => environment);
    expect(new Set(variables).size, 'each has a variable of its own').to.equal(variables.length);
  });

  function shown(described: ReturnType<typeof describeSettings>, key: keyof Settings): unknown {
    return described.find((setting) => setting.key === key)?.value;
  }
});
