import { expect } from 'chai';
import { register } from 'prom-client';
import { describe, it } from 'mocha';
import { MetricRegistry } from '../../../src/platform/observability/metrics.ts';

/** Lines that say a value. */
async function samples(registry: MetricRegistry): Promise<string[]> {
  return (await registry.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

describe('a registry of metrics', () => {
  it('tells what was counted, set and observed, in the text format of Prometheus', async () => {
    const registry = new MetricRegistry();
    registry.counter({ name: 'writ_a_total', help: 'A.', labels: ['x'] }).add({ x: 'one' }, 3);
    registry.gauge({ name: 'writ_b', help: 'B.' }).set({}, 7);
    registry.histogram({ name: 'writ_c_seconds', help: 'C.', buckets: [1, 2] }).observe({}, 1.5);
    expect(await samples(registry)).to.deep.equal([
      'writ_a_total{x="one"} 3',
      'writ_b 7',
      'writ_c_seconds_bucket{le="1"} 0',
      'writ_c_seconds_bucket{le="2"} 1',
      'writ_c_seconds_bucket{le="+Inf"} 1',
      'writ_c_seconds_sum 1.5',
      'writ_c_seconds_count 1',
    ]);
    expect(await registry.text()).to.include('# HELP writ_a_total A.\n# TYPE writ_a_total counter\n');
    expect(registry.contentType).to.equal('text/plain; version=0.0.4; charset=utf-8');
  });

  it('says nothing of a gauge that is not set, or not any more', async () => {
    const registry = new MetricRegistry();
    const plain = registry.gauge({ name: 'writ_plain', help: 'P.' });
    const labelled = registry.gauge({ name: 'writ_labelled', help: 'L.', labels: ['x'] });
    expect(await samples(registry)).to.deep.equal([]);
    plain.set({}, 1);
    labelled.set({ x: 'one' }, 1);
    expect(await samples(registry)).to.have.length(2);
    plain.clear();
    labelled.clear();
    expect(await samples(registry)).to.deep.equal([]);
  });

  it('refuses a name that it has already', () => {
    const registry = new MetricRegistry();
    registry.gauge({ name: 'writ_once', help: 'O.' });
    expect(() => registry.gauge({ name: 'writ_once', help: 'O.' })).to.throw('already been registered');
  });

  it('is nobody else’s: the registry of the library stays empty', async () => {
    new MetricRegistry().gauge({ name: 'writ_own', help: 'O.' }).set({}, 1);
    expect(await register.getMetricsAsJSON()).to.deep.equal([]);
  });
});
