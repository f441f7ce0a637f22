/** Failures that Writ's own SQL functions raise, told by their SQLSTATE of class WR. */

import { sqlState } from './failure.ts';

/** WR001: a term is over. WR002: tasks could not move. WR003: keys are taken. WR004: receipts are known. WR005: a manifest is out of its time. WR900: append-only. */
export interface Raised {
  code: 'WR001' | 'WR002' | 'WR003' | 'WR004' | 'WR005' | 'WR900';
  /** Ids or positions, separated by spaces. */
  detail: string;
}

/** What a function of Writ's raised; undefined for any other failure. */
export function raised(error: unknown): Raised | undefined {
  const code = sqlState(error);
  if (code?.startsWith('WR') !== true) return undefined;
  const { detail } = error as { detail?: unknown };
  return { code: code as Raised['code'], detail: typeof detail === 'string' ? detail : '' };
}
