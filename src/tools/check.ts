/** Checks somebody's own catalog folder and says what is wrong, and what it would give. */

import type { Effects } from '../domain/tool.ts';
import { readCatalog } from './catalog.ts';
import type { CatalogProblem } from './catalog-file.ts';
import type { TargetMark } from './target-marks.ts';

export interface CheckedAction {
  action: string;
  required_role: string;
  effects: Effects;
  timeout_s: number;
  /** Which members of a payload name targets. */
  targets: TargetMark[];
}

export interface CheckedFile {
  file: string;
  tool: string;
  version: string;
  actions: CheckedAction[];
}

export interface CheckReport {
  /** Whether the folder can be used as it is, and has at least one tool. */
  ok: boolean;
  /** The files without a problem. */
  files: CheckedFile[];
  problems: CatalogProblem[];
}

/** Reads a folder as a node would. Never throws for what is in it. */
export async function checkCatalogDirectory(dir: string): Promise<CheckReport> {
  const { files, problems } = await readCatalog([dir]);
  if (files.length === 0 && problems.length === 0) {
    const hint = 'put one file a tool there, named such as tcp.yaml';
    problems.push({ file: dir, path: '', message: 'holds no catalog file', hint });
  }
  return {
    ok: problems.length === 0,
    problems,
    files: files.map(({ file, entry, parameters }) => ({
      file,
      tool: entry.tool,
      version: entry.version,
      actions: Object.entries(entry.actions).map(([action, { required_role, effects, timeout_s }]) => ({
        action,
        required_role,
        effects,
        timeout_s,
        targets: [...(parameters.get(action)?.marks ?? [])],
      })),
    })),
  };
}
