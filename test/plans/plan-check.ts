/** What is wrong with the plans by which a statement ran: tables or indexes walked, another index than the one that is meant. */

import type { HotStatement } from './hot-statement.ts';
import type { Load } from './load.ts';
import type { PlanNode, SeenStatement } from './plan-recorder.ts';

/** Tables that grow with the work, and with those who ask for it. The others are read as a whole where that is the shortest way. */
const grown: ReadonlySet<string> = new Set([
  'tasks',
  'queue',
  'results',
  'manifests',
  'receipts',
  'task_records',
  'audit_log',
  'audit_inbox',
  'audit_tiles',
  'checkpoints',
  'idempotency_keys',
  'tokens',
]);

/** An index lookup reads three or four pages of a tree of a million entries, then the row's, and some rows have more than one page. */
const blocksPerRow = 6;
/** A row that is written is put into every index of its table. */
const blocksPerWrite = 12;
/** What small tables and the catalog add. */
const rowsBeside = 100;
const blocksBeside = 200;

export interface CheckedRun {
  seen: readonly SeenStatement[];
  /** Table of each index. */
  tableOf: ReadonlyMap<string, string>;
  load: Load;
  /** Whether all parts of the statement ran, since it found what it was asked for. */
  isWhole: boolean;
}

/** What is wrong, in a few words for each fault, and the plan that reads most. */
export function faultsOf(
  statement: HotStatement,
  { seen, tableOf, load, isWhole }: CheckedRun,
): { faults: string[]; plan: string } {
  const faults = new Set<string>();
  const used = new Set<string>();
  const allowed = [...statement.indexes, ...(statement.also ?? [])];
  for (const { 'Node Type': type, 'Relation Name': table = '', 'Index Name': index } of nodesOfAll(seen)) {
    if (type.endsWith('Seq Scan') && grown.has(table) && table !== statement.walks) faults.add(`walks ${table}`);
    if (index === undefined || !grown.has(tableOf.get(index) ?? '')) continue;
    used.add(index);
    if (!allowed.includes(index)) faults.add(`reads by ${index}`);
  }
  for (const index of statement.indexes) {
    if (isWhole && !used.has(index)) faults.add(`does not read by ${index}`);
  }
  const rows = seen.reduce((sum, { plan }) => sum + rowsOf(plan), 0);
  const rowsMax = statement.rows(load) + rowsBeside;
  if (rows > rowsMax) faults.add(`looks at ${count(rows)} rows, not ${count(rowsMax)}`);
  // Those of a statement have those inside of it in them.
  const blocks = Math.max(0, ...seen.map(({ plan }) => blocksOf(plan)));
  const blocksMax = rowsMax * blocksPerRow + (statement.writes?.(load) ?? 0) * blocksPerWrite + blocksBeside;
  if (blocks > blocksMax) faults.add(`touches ${count(blocks)} pages, not ${count(blocksMax)}`);
  if (isWhole && seen.length === 0) faults.add('shows no plan');
  return { faults: [...faults], plan: faults.size === 0 ? '' : largest(seen) };
}

function* nodesOfAll(seen: readonly SeenStatement[]): Generator<PlanNode> {
  for (const { plan } of seen) yield* nodesOf(plan);
}

function* nodesOf(plan: PlanNode): Generator<PlanNode> {
  yield plan;
  for (const inner of plan.Plans ?? []) yield* nodesOf(inner);
}

/** Rows of tables that a node looked at, kept or not; 0 for what reads no table. Those of a bitmap count where the index gave them. */
function rowsRead(node: PlanNode): number {
  const { 'Node Type': type, 'Relation Name': table, 'Index Name': index } = node;
  if (!type.includes('Scan') || (table ?? index) === undefined) return 0;
  const rechecked = node['Rows Removed by Index Recheck'] ?? 0;
  const given = type === 'Bitmap Heap Scan' ? 0 : node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0);
  return node['Actual Loops'] * (given + rechecked);
}

function rowsOf(plan: PlanNode): number {
  let rows = 0;
  for (const node of nodesOf(plan)) rows += rowsRead(node);
  return rows;
}

function blocksOf(plan: PlanNode): number {
  return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
}

/** The plan that reads most, of those that read anything, under the beginning of its statement. */
function largest(seen: readonly SeenStatement[]): string {
  const isReading = ({ plan }: SeenStatement): boolean =>
    [...nodesOf(plan)].some((node) => node['Relation Name'] !== undefined);
  const [first] = seen
    .filter(isReading)
    .toSorted((a, b) => rowsOf(b.plan) - rowsOf(a.plan) || blocksOf(b.plan) - blocksOf(a.plan));
  return first === undefined ? '' : `${first.text.trim().replaceAll(/\s+/g, ' ').slice(0, 120)}\n${textOf(first.plan)}`;
}

function count(n: number): string {
  return Math.round(n).toLocaleString('en');
}

/** A plan as a tree of lines. Rows are kept and passed over in one loop, on average; pages those of the whole subtree. */
function textOf(plan: PlanNode, depth = 1): string {
  const on = [plan['Relation Name'], plan['Index Name']].filter((name) => name !== undefined).join(' by ');
  const condition = [plan['Index Cond'], plan.Filter && `filter ${plan.Filter}`].filter(Boolean).join(', ');
  const removed = plan['Rows Removed by Filter'] ?? 0;
  const figures = `rows ${plan['Actual Rows']}+${removed}, loops ${plan['Actual Loops']}, pages ${blocksOf(plan)}`;
  const line = `${'  '.repeat(depth)}${plan['Node Type']} ${on}: ${figures}${condition === '' ? '' : `; ${condition}`}`;
  return [line, ...(plan.Plans ?? []).map((inner) => textOf(inner, depth + 1))].join('\n');
}
