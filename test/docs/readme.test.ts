import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { describe, it } from 'mocha';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('README.md', () => {
  const text = readFileSync(join(root, 'README.md'), 'utf8');

  it('maps every room of src/, in the order in which rooms may import', () => {
    const part = text.slice(text.indexOf('## Rooms'), text.indexOf('\n## ', text.indexOf('## Rooms') + 1));
    const mapped = [...part.matchAll(/^\| `(\w+)` \|/gm)].map(([, room]) => room ?? '');
    const folders = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect([...mapped].sort()).to.deep.equal(folders.map(({ name }) => name).sort());
    const rules = readFileSync(join(root, '.dependency-cruiser.mjs'), 'utf8');
    const order = [...rules.matchAll(/^ {2}\[\n? *'(\w+)',/gm)].map(([, room]) => room ?? '');
    const inOrder = order.filter((room) => mapped.includes(room));
    const exceptional = new Set(['cli', 'app', 'client']);
    const plain = (rooms: readonly string[]): string[] => rooms.filter((room) => !exceptional.has(room));
    expect(plain(mapped)).to.deep.equal(plain(inOrder));
  });

  it('names commands that the package has', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = [...text.matchAll(/`npm (?:run )?([\w:]+)/g)].map(([, script]) => script ?? '');
    expect(named).to.include.members(['quickstart', 'test']);
    expect(named.filter((script) => !(script in scripts))).to.deep.equal([]);
  });
});
