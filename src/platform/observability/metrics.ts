/** Metrics of one process for Prometheus: a registry of its own, never the library's global one, and typed ways into it. */

import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** A value for each label; values come from closed sets of the program, never from outside. */
export type LabelValues<Label extends string> = Readonly<Record<Label, string>>;

export interface CounterMetric<Label extends string> {
  add(labels: LabelValues<Label>, count?: number): void;
}

export interface GaugeMetric<Label extends string> {
  set(labels: LabelValues<Label>, value: number): void;
  /** Tells nothing any more, with none of its labels. */
  clear(): void;
}

export interface HistogramMetric<Label extends string> {
  observe(labels: LabelValues<Label>, value: number): void;
}

/** A metric as documents list it. */
export interface MetricDescription {
  name: string;
  type: 'counter' | 'gauge' | 'histogram';
  labels: readonly string[];
  help: string;
}

export interface MetricOptions<Label extends string> {
  /** `writ_…`, with the unit last; counters end in `_total`. */
  name: string;
  help: string;
  labels?: readonly Label[];
}

/** Owns the metrics of a process. A name is made once. */
export class MetricRegistry {
  readonly #registry = new Registry();
  readonly #made: MetricDescription[] = [];

  /** Media type of `text`. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  counter<Label extends string = never>(options: MetricOptions<Label>): CounterMetric<Label> {
    const counter = new Counter(this.#enter('counter', options));
    return {
      add: (labels, count = 1) => {
        counter.inc(labels, count);
      },
    };
  }

  gauge<Label extends string = never>(options: MetricOptions<Label>): GaugeMetric<Label> {
    const gauge = new Gauge(this.#enter('gauge', options));
    const clear = (): void => {
      gauge.reset();
      // Without labels the library goes back to 0, which would be a statement.
      if ((options.labels ?? []).length === 0) gauge.remove();
    };
    clear();
    return {
      set: (labels, value) => {
        gauge.set(labels, value);
      },
      clear,
    };
  }

  histogram<Label extends string = never>(
    options: MetricOptions<Label> & { buckets: readonly number[] },
  ): HistogramMetric<Label> {
    const histogram = new Histogram({ ...this.#enter('histogram', options), buckets: [...options.buckets] });
    return {
      observe: (labels, value) => {
        histogram.observe(labels, value);
      },
    };
  }

  /** All metrics, in the order in which they were made. */
  list(): readonly MetricDescription[] {
    return this.#made;
  }

  /** Prometheus' text format, version 0.0.4. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #enter<Label extends string>(
    type: MetricDescription['type'],
    { name, help, labels = [] }: MetricOptions<Label>,
  ): { name: string; help: string; labelNames: Label[]; registers: Registry[] } {
    this.#made.push({ name, type, labels, help });
    return { name, help, labelNames: [...labels], registers: [this.#registry] };
  }
}
