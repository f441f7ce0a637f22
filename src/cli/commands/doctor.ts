/** `writ doctor`: what an installation stands on, looked at without changing it. */

import type { Command } from 'commander';
import type { DoctorOptions } from '../../app/doctor/doctor.ts';
import type { Finding } from '../../app/doctor/finding.ts';
import { addCommand, type Session } from '../command.ts';
import { exitCodes } from '../exit-code.ts';
import type { Screen } from '../screen.ts';
import type { Tint } from '../style.ts';
import { terminalText } from '../terminal-text.ts';

const levels: Record<Finding['level'], { word: string; tint: Tint }> = {
  ok: { word: 'OK', tint: 'green' },
  warn: { word: 'WARN', tint: 'yellow' },
  fail: { word: 'FAIL', tint: 'red' },
};

export function addDoctorCommand(program: Command, session: Session): void {
  addCommand<{ config?: string; node?: boolean }>(program, session, {
    usage: 'doctor',
    summary: 'check what this installation stands on, and say what is wrong and what to do',
    examples: ['writ doctor', 'writ doctor --node', 'writ doctor --json | jq \'.findings[] | select(.level != "ok")\''],
    options: (command) =>
      command
        .option('--node', "check what a node stands on, on the node's machine")
        .option('--config <file>', 'settings file (WRIT_CONFIG)'),
    run: async ({ options, io: { environment, clock }, screen }) => {
      const input = { config: options.config, clock, ...(environment && { environment }) };
      const findings = options.node === true ? await examineNode(input) : await examineInstallation(input);
      await show(findings, screen);
      return findings.some(({ level }) => level === 'fail') ? exitCodes.bad : undefined;
    },
  });
}

async function examineInstallation(input: DoctorOptions): Promise<Finding[]> {
  const { runDoctor } = await import('../../app/doctor/doctor.ts');
  return runDoctor(input);
}

async function examineNode(input: DoctorOptions): Promise<Finding[]> {
  const { runNodeDoctor } = await import('../../app/doctor/node-doctor.ts');
  return runNodeDoctor(input);
}

async function show(findings: readonly Finding[], screen: Screen): Promise<void> {
  const counts = { ok: 0, warn: 0, fail: 0 };
  for (const { level } of findings) counts[level]++;
  if (screen.json) {
    await screen.value({ ...counts, findings });
    return;
  }
  const width = Math.max(...findings.map(({ check }) => check.length));
  await screen.lines(
    findings.map(({ check, level, message, hint }) => {
      const { word, tint } = levels[level];
      const text = hint === undefined ? message : `${message} ${hint}`;
      return `${screen.style(tint, word.padEnd(4))}  ${terminalText(check).padEnd(width)}  ${terminalText(text)}`;
    }),
  );
  screen.note(`${counts.ok} OK, ${counts.warn} to look at, ${counts.fail} wrong`);
}
