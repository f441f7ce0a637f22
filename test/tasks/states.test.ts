import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { endStates, isLegalMove, liveStates, taskMoves, taskStates } from '../../src/domain/task-state.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

const page = readFileSync(fileURLToPath(new URL('../../docs/states.md', import.meta.url)), 'utf8');
const moves = Object.entries(taskMoves).flatMap(([from, to]) => to.map((state) => `${from} ${state}`));
const froms = ['new', ...taskStates] as const;

describe('states of a task', () => {
  let test: TestDatabase;
  before(async () => {
    test = await createTestDatabase();
  });
  after(async () => {
    await test.drop();
  });

  it('are moved between by the database as the table says', async () => {
    const { rows } = await test.database.query<{ pair: string; legal: boolean }>(
      `select f || ' ' || t as pair, is_legal_move(f, t) as legal
         from unnest($1::text[]) f cross join unnest($2::text[]) t`,
      [froms, taskStates],
    );
    expect(rows.length).to.equal(froms.length * taskStates.length);
    expect(rows.filter(({ legal }) => legal).map(({ pair }) => pair)).to.have.members(moves);
    expect(froms.flatMap((from) => taskStates.filter((to) => isLegalMove(from, to)))).to.have.length(moves.length);
  });

  it('are allowed in the tables as the table says', async () => {
    expect(await statesOfCheck('queue')).to.have.members([...liveStates]);
    expect(await statesOfCheck('results')).to.have.members([...endStates]);
  });

  it('are drawn in docs/states.md as the table says', () => {
    const picture = /```mermaid\n([^]*?)```/.exec(page)?.[1] ?? '';
    const drawn = [...picture.matchAll(/^ +(\[\*\]|\w+) --> (\w+):/gm)].map(
      ([, from = '', to = '']) => `${from === '[*]' ? 'new' : from} ${to}`,
    );
    expect(drawn).to.have.members(moves);
  });

  it('are explained in docs/states.md, each with the table that keeps it', () => {
    const rows = [...page.matchAll(/^\| `(\w+)` \| .+ \| `(\w+)`.* \|$/gm)].map(([, state, table]) => [state, table]);
    expect(rows).to.have.deep.members([
      ...liveStates.map((state) => [state, 'queue']),
      ...endStates.map((state) => [state, 'results']),
    ]);
  });

  /** The states that the CHECK constraint of a table's column `state` alone allows. */
  async function statesOfCheck(table: string): Promise<string[]> {
    const { rows } = await test.database.query<{ definition: string }>(
      `select pg_get_constraintdef(c.oid) as definition
         from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attname = 'state'
        where c.conrelid = $1::regclass and c.contype = 'c' and c.conkey = array[a.attnum]`,
      [table],
    );
    expect(rows).to.have.length(1);
    return [...(rows[0]?.definition ?? '').matchAll(/'(\w+)'::text/g)].map(([, state]) => state ?? '');
  }
});
