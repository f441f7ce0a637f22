/** The metrics of an orchestrator: names, labels and what they mean. docs/metrics.md lists the same; a test compares. */

import type { MetricRegistry } from '../platform/observability/metrics.ts';

const callBucketsS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const signBucketsS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

export type MetricSet = ReturnType<typeof defineMetrics>;

/** Makes all of them, for one process. */
export function defineMetrics(registry: MetricRegistry) {
  return {
    ...defineTaskMetrics(registry),
    ...defineProofMetrics(registry),
    ...defineTelemetryMetrics(registry),
    ...definePartMetrics(registry),
    ...defineHttpMetrics(registry),
  };
}

function defineTaskMetrics(registry: MetricRegistry) {
  return {
    nodes: registry.gauge({ name: 'writ_nodes', help: 'Nodes that ever joined, by status.', labels: ['status'] }),
    queueDepth: registry.gauge({ name: 'writ_queue_depth', help: 'Live tasks, by state.', labels: ['state'] }),
    queueOldest: registry.gauge({
      name: 'writ_queue_oldest_seconds',
      help: 'How long the oldest queued task has been queued; 0 where none is.',
    }),
    tasksEnded: registry.counter({
      name: 'writ_tasks_total',
      help: 'Tasks that ended at this orchestrator, by the state that they ended in.',
      labels: ['state'],
    }),
    deadLetters: registry.gauge({
      name: 'writ_dead_letters',
      help: 'Tasks that failed for good and were not redriven, up to 10000.',
    }),
  };
}

function defineProofMetrics(registry: MetricRegistry) {
  return {
    auditSize: registry.gauge({ name: 'writ_audit_size', help: 'Records in the audit log.' }),
    checkpointAge: registry.gauge({
      name: 'writ_checkpoint_age_seconds',
      help: 'Age of the newest signed checkpoint; up to a minute while nothing happens.',
    }),
    logFenced: registry.gauge({ name: 'writ_log_fenced', help: '1 while the log does not fit its mark, else 0.' }),
    signSeconds: registry.histogram({
      name: 'writ_sign_seconds',
      help: 'Time of one call for signatures, of checkpoints (log) or manifests (manifest).',
      labels: ['key'],
      buckets: signBucketsS,
    }),
    signErrors: registry.counter({
      name: 'writ_sign_errors_total',
      help: 'Calls for signatures that failed, by the kind of failure.',
      labels: ['key', 'reason'],
    }),
    refusals: registry.counter({
      name: 'writ_refusals_total',
      help: 'Receipts that this orchestrator refused, by the check that failed.',
      labels: ['reason'],
    }),
  };
}

function defineTelemetryMetrics(registry: MetricRegistry) {
  return {
    feedLagRecords: registry.gauge({
      name: 'writ_feed_lag_records',
      help: 'Records of the log that a feed has not told of yet.',
      labels: ['feed'],
    }),
    feedLagSeconds: registry.gauge({
      name: 'writ_feed_lag_seconds',
      help: 'Age of the oldest record that a feed has not told of yet; 0 where there is none.',
      labels: ['feed'],
    }),
    published: registry.counter({
      name: 'writ_telemetry_published_total',
      help: 'Messages of telemetry that this orchestrator handed to the broker, by what became of them.',
      labels: ['outcome'],
    }),
    deadEvents: registry.gauge({
      name: 'writ_dead_events',
      help: 'Messages of telemetry that the broker refused for good and nobody sent again.',
    }),
  };
}

function definePartMetrics(registry: MetricRegistry) {
  return {
    breaker: registry.gauge({
      name: 'writ_breaker_state',
      help: '1 while work waits for this part, 0 while it works.',
      labels: ['part'],
    }),
    leading: registry.gauge({ name: 'writ_leading', help: '1 while this orchestrator leads, else 0.' }),
    build: registry.gauge({ name: 'writ_build_info', help: 'Always 1; says the version.', labels: ['version'] }),
  };
}

function defineHttpMetrics(registry: MetricRegistry) {
  return {
    calls: registry.counter({
      name: 'writ_http_requests_total',
      help: 'Calls of the API that ended, by the pattern of their path.',
      labels: ['method', 'route', 'status'],
    }),
    callSeconds: registry.histogram({
      name: 'writ_http_request_seconds',
      help: 'Time of a call of the API, with what it waited for.',
      labels: ['method', 'route'],
      buckets: callBucketsS,
    }),
  };
}
