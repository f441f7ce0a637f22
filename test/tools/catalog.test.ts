/** Loading the catalog: what is accepted, and that everything wrong is told at once. */

import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { AppError } from '../../src/domain/error.ts';
import { loadCatalog } from '../../src/tools/catalog.ts';
import { checkCatalogDirectory } from '../../src/tools/check.ts';
import { entryText, find, shippedTools, temporaryFolder } from './fixtures.ts';

const noop = { builtin: 'noop.run' };
const uname = { builtin: 'process.run', program: 'uname', args: [] };

/** Each wrong in one place: the file's text, and the path that must be named. */
const wrong: Readonly<Record<string, readonly [text: string | Buffer, path: string]>> = {
  'a duplicate key': ['tool: a\ntool: b\n', ''],
  'a duplicate key deep inside': [entryText({ run: noop }).replace('"timeout_s"', '"effects":"none","timeout_s"'), ''],
  'an alias': ['tool: &a mine\nversion: *a\n', ''],
  'a bomb of aliases': [
    `a: &a [x]\n${'bcdefgh'
      .split('')
      .map(
        (c, i) =>
          `${c}: &${c} [${Array(9)
            .fill(`*${'abcdefg'[i] ?? ''}`)
            .join()}]`,
      )
      .join('\n')}\n`,
    '',
  ],
  'two documents': [`${entryText({ run: noop })}\n---\n${entryText({ run: noop })}\n`, ''],
  'YAML that is none': ['tool: [', ''],
  'an unknown tag': ['tool: !!js/function "x"\n', ''],
  'a merge key': [entryText({ run: noop }, { '<<': { tool: 'x' } }), '<<'],
  'a key __proto__': ['tool: mine\n__proto__: {tool: x}\n', ''],
  'bytes that are not UTF-8': [
    Buffer.concat([Buffer.from(`${entryText({ run: noop })}\n# `), Buffer.from([0xff])]),
    '',
  ],
  'a file over the limit': [`${entryText({ run: noop })}\n# ${'x'.repeat(300_000)}\n`, ''],
  'an empty file': ['', ''],
  'a list': ['- tool\n', ''],
  'an unknown member': [entryText({ run: noop }, { owner: 'me' }), 'owner'],
  'an approval': [
    entryText({ run: noop }).replace('"timeout_s"', '"approval":{"count":2},"timeout_s"'),
    'actions.go.approval',
  ],
  'a tool name with a dot': [entryText({ run: noop }, { tool: 'a.b' }), 'tool'],
  'a version that is a number': [entryText({ run: noop }, { version: 1 }), 'version'],
  'no action': [entryText({ run: noop }, { actions: {} }), 'actions'],
  'unknown effects': [entryText({ run: noop, effects: 'some' }), 'actions.go.effects'],
  'an unknown built-in': [entryText({ run: { builtin: 'shell.run' } }), 'actions.go.run.builtin'],
  'an option that a built-in has not': [entryText({ run: { ...noop, shell: true } }), 'actions.go.run.shell'],
  'exit codes of a built-in': [entryText({ run: noop, exit_codes: { 0: 'succeeded' } }), 'actions.go.exit_codes'],
  'an exit code that is none': [entryText({ run: uname, exit_codes: { 256: 'failed' } }), 'actions.go.exit_codes.256'],
  'an exit meaning that is none': [entryText({ run: uname, exit_codes: { 1: 'maybe' } }), 'actions.go.exit_codes.1'],
  'a program that is not there': [
    entryText({ run: { ...uname, program: '/nonexistent/x' } }),
    'actions.go.run.program',
  ],
  'a program in no folder of the search path': [
    entryText({ run: { ...uname, program: 'writ-no-such' } }),
    'actions.go.run.program',
  ],
  'a program that is a folder': [entryText({ run: { ...uname, program: '/usr' } }), 'actions.go.run.program'],
  'a program by a relative path': [entryText({ run: { ...uname, program: './x' } }), 'actions.go.run.program'],
  'a program by a path with ..': [
    entryText({ run: { ...uname, program: '/usr/../bin/uname' } }),
    'actions.go.run.program',
  ],
  'a shell': [entryText({ run: { ...uname, program: 'sh', args: ['-c', 'id'] } }), 'actions.go.run.program'],
  'a starter of programs': [entryText({ run: { ...uname, program: '/usr/bin/env' } }), 'actions.go.run.program'],
  'a short option with a value': [
    entryText({ run: { ...uname, args: [{ param: 'a', flag: '-a' }] } }),
    'actions.go.run.args.0.flag',
  ],
  'a number as an argument': [entryText({ run: { ...uname, args: [5] } }), 'actions.go.run.args.0'],
  'an argument without its parameter': [
    entryText({ run: { ...uname, args: [{ param: 'a' }] } }),
    'actions.go.run.args.0.param',
  ],
  'PATH in the environment': [entryText({ run: { ...uname, env: { PATH: '/tmp' } } }), 'actions.go.run.env.PATH'],
  'LD_PRELOAD in the environment': [
    entryText({ run: { ...uname, env: { LD_PRELOAD: 'x' } } }),
    'actions.go.run.env.LD_PRELOAD',
  ],
  'a mark that is none': [
    entryText({ run: noop, properties: { a: { type: 'string', 'x-writ-target': 'x' } } }),
    'actions.go.parameters.properties.a.x-writ-target',
  ],
  'a schema that is none': [entryText({ run: noop, properties: { a: { type: 'x' } } }), 'actions.go.parameters'],
};

describe('loadCatalog', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(() => folder.remove());

  async function errorsOf(): Promise<readonly { path: string; message: string }[]> {
    try {
      await loadCatalog([folder.path]);
    } catch (error) {
      if (error instanceof AppError && error.reason === 'catalog_invalid') return error.details.errors ?? [];
      throw error;
    }
    return [];
  }

  for (const [what, [text, path]] of Object.entries(wrong)) {
    it(`refuses ${what}, and names the place`, async () => {
      const file = join(folder.path, 'mine.yaml');
      await writeFile(file, text);
      const named = (await errorsOf()).map((error) => error.path);
      expect(named).to.include(path === '' ? file : `${file}: ${path}`);
      const report = await checkCatalogDirectory(folder.path);
      expect(report.ok).to.equal(false);
      for (const problem of report.problems) expect(problem.hint).not.to.equal('');
    });
  }

  it('refuses a link that leads to a shell', async () => {
    await symlink('/bin/sh', join(folder.path, 'harmless'));
    await writeFile(
      join(folder.path, 'mine.yaml'),
      entryText({ run: { ...uname, program: join(folder.path, 'harmless') } }),
    );
    expect(await errorsOf()).to.have.length(1);
  });

  it('tells what is wrong in every file at once', async () => {
    await writeFile(join(folder.path, 'a.yaml'), entryText({ run: noop }, { tool: 'A', note: 1 }));
    await writeFile(join(folder.path, 'b.yml'), 'tool: [');
    await writeFile(join(folder.path, 'c.yaml'), entryText({ run: noop }, { tool: 'fine' }));
    const files = (await errorsOf()).map(({ path }) => path.slice(folder.path.length + 1).split(':')[0]);
    expect(files.filter((file) => file === 'a.yaml')).to.have.length(2);
    expect(new Set(files)).to.deep.equal(new Set(['a.yaml', 'b.yml']));
  });

  it('refuses the second of two files with one tool', async () => {
    await mkdir(join(folder.path, 'more'));
    await writeFile(join(folder.path, 'a.yaml'), entryText({ run: noop }));
    await writeFile(join(folder.path, 'more', 'a.yaml'), entryText({ run: noop }));
    let message = '';
    await loadCatalog([folder.path, join(folder.path, 'more')]).catch((error: unknown) => {
      message = String(error);
    });
    expect(message).to.include('stands in another file');
    expect(message).to.include(join(folder.path, 'more', 'a.yaml'));
  });

  it('refuses a folder that is not there', async () => {
    let reason = '';
    await loadCatalog([join(folder.path, 'none')]).catch((error: unknown) => {
      reason = error instanceof AppError ? error.reason : '';
    });
    expect(reason).to.equal('catalog_invalid');
  });

  it('ignores what is no catalog file', async () => {
    await writeFile(join(folder.path, 'README.md'), '# no');
    await mkdir(join(folder.path, 'below'));
    expect((await loadCatalog([folder.path])).tools.size).to.equal(0);
  });

  it('refuses at submission what the program would read as an option', async () => {
    const run = { ...uname, args: [{ param: 'a' }] };
    await writeFile(join(folder.path, 'mine.yaml'), entryText({ run, properties: { a: { type: 'string' } } }));
    const action = find(await loadCatalog([folder.path]), 'mine', 'go');
    expect(action.validate({ a: 'x' })).to.deep.equal([]);
    expect(action.validate({ a: '-x' }).map(({ path }) => path)).to.deep.equal(['a']);
  });

  it('knows tools and actions only by their own names', async () => {
    const catalog = await loadCatalog([shippedTools]);
    expect(catalog.find('tcp', 'connect')).to.include({ required_role: 'operator', effects: 'none', tool: 'tcp' });
    for (const [tool, action] of [
      ['tcp', 'toString'],
      ['tcp', 'constructor'],
      ['__proto__', 'connect'],
      ['none', 'connect'],
    ] as const) {
      expect(catalog.find(tool, action)).to.equal(undefined);
    }
  });
});

describe('the catalog that comes with Writ', () => {
  it('is in order, and marks each member that is connected to', async () => {
    const report = await checkCatalogDirectory(shippedTools);
    expect(report.problems).to.deep.equal([]);
    const targets = report.files.flatMap(({ tool, actions }) =>
      actions.flatMap(({ action, targets: marks }) =>
        marks.map(({ path, kind }) => `${tool}.${action} ${path} ${kind}`),
      ),
    );
    expect(targets).to.have.members([
      'tcp.connect host host',
      'tls.inspect host host',
      'http.probe url url',
      'dns.lookup server ip',
    ]);
  });

  it('says of an empty folder that it gives nothing', async () => {
    const empty = await temporaryFolder();
    const report = await checkCatalogDirectory(empty.path);
    await empty.remove();
    expect(report.ok).to.equal(false);
    expect(report.problems[0]?.hint).not.to.equal(undefined);
  });
});
