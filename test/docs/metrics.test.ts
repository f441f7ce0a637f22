import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { OrchestratorMetrics } from '../../src/app/metrics.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { MetricRegistry } from '../../src/platform/observability/metrics.ts';
import { defineMetrics } from '../../src/app/metric-definitions.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(join(root, 'docs/metrics.md'), 'utf8');
const made = new OrchestratorMetrics({ clock: systemClock, version: '0', feeds: ['events'] }).list();

describe('docs/metrics.md', () => {
  it('lists the metrics that an orchestrator makes, in their order', () => {
    const rows = [...page.matchAll(/^\| `(writ_\w+)` \| (\w+) \| ([^|]*)\| ([^|]+) \|$/gm)].map(
      ([, name, type, labels = '', help]) => ({
        name,
        type,
        labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label),
        help,
      }),
    );
    expect(rows).to.deep.equal(made);
  });

  it('names no metric that does not exist', () => {
    const known = new Set(made.map(({ name }) => name));
    const named = [...page.matchAll(/\bwrit_\w+/g)].map(([name]) => name);
    expect(named.filter((name) => !known.has(name))).to.deep.equal([]);
  });
});

describe('names of metrics', () => {
  it('are as promtool wants them: a prefix, units in full at the end, _total for counters alone', () => {
    const wrong = made.filter(
      ({ name, type, help }) =>
        !/^writ(_[a-z]+)+$/.test(name) || name.endsWith('_total') !== (type === 'counter') || !help.endsWith('.'),
    );
    expect(wrong).to.deep.equal([]);
    expect(made.filter(({ type }) => type === 'histogram').every(({ name }) => name.endsWith('_seconds'))).to.equal(
      true,
    );
  });

  it('are each made once', () => {
    const registry = new MetricRegistry();
    defineMetrics(registry);
    expect(new Set(registry.list().map(({ name }) => name)).size).to.equal(made.length);
    expect(() => defineMetrics(registry)).to.throw('already been registered');
  });
});
