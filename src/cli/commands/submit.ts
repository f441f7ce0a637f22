/** `writ submit`: one task or many, from the command line, a file or standard input. */

import type { Command } from 'commander';
import type { BatchOutcome, WritClient } from '../../client/client.ts';
import { addCommand, collect, type Invocation, type Session } from '../command.ts';
import { parseDurationS } from '../duration.ts';
import { exitCodes, type ExitCode } from '../exit-code.ts';
import { exitOfTasks, followTask, followTasks, showTasks } from '../follow.ts';
import { startProgress } from '../progress.ts';
import { showResult } from '../show-result.ts';
import { readTaskInput, type TaskFlags, type TaskInput } from '../task-input.ts';
import { terminalText } from '../terminal-text.ts';

interface SubmitOptions extends TaskFlags {
  file?: string;
  wait?: boolean;
  waitTimeout?: string;
  atomic?: boolean;
  dryRun?: boolean;
  idempotencyKey?: string;
}

export function addSubmitCommand(program: Command, session: Session): void {
  addCommand<SubmitOptions>(program, session, {
    usage: 'submit [action] [parameters...]',
    summary: 'submit a task, or many from a file or standard input',
    connects: true,
    examples: [
      'writ submit tcp.connect host=127.0.0.1 port=8080 --wait',
      'writ submit --tool http --action probe --payload \'{"url": "http://127.0.0.1:8080/health"}\' --priority 80',
      'writ submit noop.run --run-at +15m --tag nightly --label team=blue',
      'writ submit --file tasks.jsonl --wait',
      'generate-tasks | writ submit --json',
    ],
    options: (command) => addTaskOptions(command),
    run: submit,
  });
}

function addTaskOptions(command: Command): void {
  command
    .optionsGroup('Task (parameters are key=value; values that are JSON are taken as JSON):')
    .option('--tool <name>', 'tool, in place of TOOL.ACTION')
    .option('--action <name>', 'action of the tool')
    .option('--payload <json>', 'all parameters as a JSON object')
    .option('--priority <number>', '0 to 100, higher first (default 50)')
    .option('--run-at <time>', 'not before this time: RFC 3339, or +15m')
    .option('--expires-at <time>', 'not started after this time: RFC 3339, or +1h')
    .option('--timeout <duration>', 'hard limit of one attempt: 90, 90s, 15m, 2h')
    .option('--max-attempts <number>', 'starts in all, the first included')
    .option('--source <text>', 'where the task comes from (default: your name)')
    .option('--role <name>', 'role that it takes, where that is more than the catalog asks for')
    .option('--affinity <key>', 'tasks of one key go to one node')
    .option('--constraint <label=value>', 'label that the node must have; may be repeated', collect)
    .option('--tag <text>', 'may be repeated', collect)
    .option('--label <name=value>', 'may be repeated', collect)
    .option('--traceparent <text>', 'W3C trace context')
    .optionsGroup('Options:')
    .option('-f, --file <file>', 'one task, a list, or one task a line; - is standard input')
    .option('--atomic', 'all tasks of the file or none')
    .option('--dry-run', 'only decide: nothing is stored')
    .option('-w, --wait', 'wait for the end and show the result')
    .option('--wait-timeout <duration>', 'stop waiting after this time; exit code 2')
    .option('--idempotency-key <key>', 'the same key and tasks are accepted once, whenever sent');
}

async function submit(invocation: Invocation<SubmitOptions>): Promise<ExitCode | undefined> {
  const { options, args, io, connect } = invocation;
  const [action, parameters = []] = args as [string | undefined, string[] | undefined];
  const words = action === undefined ? [] : [action, ...parameters];
  const input = await readTaskInput(words, options, options.file, io);
  const client = await connect();
  if (options.dryRun === true) return plan(client, input, invocation);
  const [only] = input.tasks;
  if (input.isSingle && only !== undefined) return submitOne(client, only, invocation);
  return submitMany(client, input, invocation);
}

async function submitOne(
  client: WritClient,
  submission: TaskInput['tasks'][number],
  { options, screen }: Invocation<SubmitOptions>,
): Promise<ExitCode | undefined> {
  const task = await client.submit(submission, keyOf(options));
  if (options.wait !== true) {
    if (screen.json) await screen.value(task);
    else {
      await screen.lines([terminalText(task.task_id)]);
      screen.note(`${terminalText(task.state)}; see it with "writ task get ${terminalText(task.task_id)}"`);
    }
    return undefined;
  }
  const ended = await followTask(client, screen, task.task_id, { timeoutS: waitTimeoutS(options) });
  const exit = exitOfTasks([ended]);
  if (exit === exitCodes.incomplete) {
    if (screen.json) await screen.value(ended);
    else await showTasks(screen, [ended]);
    screen.note(`writ: it has not ended yet; wait on with "writ task wait ${terminalText(task.task_id)}"`);
    return exit;
  }
  const result = await client.result(task.task_id);
  if (screen.json) await screen.value(result);
  else await showResult(screen, result);
  return exit;
}

async function submitMany(
  client: WritClient,
  input: TaskInput,
  { options, screen }: Invocation<SubmitOptions>,
): Promise<ExitCode | undefined> {
  const progress = await startProgress(screen, 'submitted', input.tasks.length);
  const atomic = options.atomic === true || input.atomic === true;
  let outcomes: BatchOutcome[];
  try {
    outcomes = await client.submitBatch(input.tasks, { ...keyOf(options), atomic, onProgress: progress.update });
  } finally {
    progress.stop();
  }
  const accepted = outcomes.flatMap((outcome) => ('task' in outcome ? [outcome.task] : []));
  const refused = outcomes.length - accepted.length;
  if (options.wait === true) {
    const ids = accepted.map(({ task_id }) => task_id);
    const tasks = await followTasks(client, screen, ids, { timeoutS: waitTimeoutS(options) });
    const byId = new Map(tasks.map((task) => [task.task_id, task]));
    outcomes = outcomes.map((outcome) =>
      'task' in outcome ? { task: byId.get(outcome.task.task_id) ?? outcome.task } : outcome,
    );
    await showOutcomes(outcomes, screen);
    return refused > 0 ? exitCodes.refused : exitOfTasks(tasks);
  }
  await showOutcomes(outcomes, screen);
  return refused > 0 ? exitCodes.refused : undefined;
}

async function showOutcomes(
  outcomes: readonly BatchOutcome[],
  screen: Invocation<SubmitOptions>['screen'],
): Promise<void> {
  if (screen.json) {
    for (const outcome of outcomes) await screen.value(outcome);
    return;
  }
  const accepted = outcomes.flatMap((outcome) => ('task' in outcome ? [outcome.task] : []));
  if (accepted.length > 0) await showTasks(screen, accepted);
  for (const [i, outcome] of outcomes.entries()) {
    if ('error' in outcome) {
      screen.note(terminalText(`task ${(i + 1).toString()} refused: ${outcome.error.code}: ${outcome.error.detail}`));
    }
  }
  const refused = outcomes.length - accepted.length;
  screen.note(`${accepted.length.toString()} accepted${refused > 0 ? `, ${refused.toString()} refused` : ''}`);
}

async function plan(
  client: WritClient,
  input: TaskInput,
  { screen }: Invocation<SubmitOptions>,
): Promise<ExitCode | undefined> {
  const decisions = await client.plan(input.tasks);
  if (screen.json) {
    for (const decision of decisions) await screen.value(decision);
  } else {
    const rows = decisions.map((decision, i) => {
      const isAccepted = decision.decision === 'accept';
      const why = isAccepted
        ? `nodes that could run it: ${decision.candidate_nodes.length.toString()}, free now: ${decision.free_nodes.length.toString()}`
        : `${decision.error.code}: ${decision.error.detail}`;
      const tint = isAccepted ? 'green' : 'red';
      return [(i + 1).toString(), { text: decision.decision, tint }, why] as const;
    });
    await screen.table(
      [{ header: '#', align: 'right' }, { header: 'DECISION' }, { header: 'WHY', isFlexible: true }],
      rows,
    );
  }
  return decisions.some(({ decision }) => decision === 'refuse') ? exitCodes.refused : undefined;
}

function keyOf({ idempotencyKey }: SubmitOptions): { idempotencyKey?: string } {
  return idempotencyKey === undefined ? {} : { idempotencyKey };
}

function waitTimeoutS({ waitTimeout }: SubmitOptions): number | undefined {
  return waitTimeout === undefined ? undefined : parseDurationS(waitTimeout);
}
