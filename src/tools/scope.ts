/** The scope decision: pure, and the same at submission, when a manifest is built, and on the node. */

import type { Permission } from '../domain/principal.ts';
import { parseTargetRule, type Scope } from '../domain/scope.ts';
import { canonicalAddress, parseNetwork, parseTarget, type Network, type Target } from '../domain/target.ts';
import { networkMatcher, specialPart, type NetworkMatcher } from './special-networks.ts';

export interface ScopeQuestion {
  tool: string;
  action: string;
  targets: readonly Target[];
  nowMs: number;
  /** With the permission `targets:private`: `*` and name rules reach special addresses too. Default false. */
  allow_private?: boolean;
}

export type ScopeDecision =
  /** With `addresses_must_be_checked` it stands only if the node finds every address of the host names inside. */
  | { allowed: true; addresses_must_be_checked: boolean }
  | { allowed: false; rule: 'scope_tool' | 'scope_target' | 'scope_window'; detail: string };

/** What a principal without a scope may do: every tool; every public target, and with `targets:private` any. */
export function defaultScope(permissions: ReadonlySet<Permission>): { scope: Scope; allow_private: boolean } {
  return { scope: unboundedScope, allow_private: permissions.has('targets:private') };
}

/** Every tool and every public target. */
export const unboundedScope: Scope = { name: 'default', tools: ['*'], targets: ['*'] };

/** Whether a scope lets an action run against its targets now. */
export function decideScope(scope: Scope, question: ScopeQuestion): ScopeDecision {
  const rules = compile(scope);
  if (!rules.tools.has('*') && !rules.tools.has(`${question.tool}.*`)) {
    const asked = `${question.tool}.${question.action}`;
    if (!rules.tools.has(asked)) return deny('scope_tool', `the scope "${scope.name}" does not allow ${asked}`);
  }
  // Written so that a time that cannot be read allows nothing.
  if (!(question.nowMs >= rules.notBeforeMs)) {
    return deny('scope_window', `the scope "${scope.name}" allows nothing before ${scope.not_before ?? ''}`);
  }
  if (!(question.nowMs < rules.notAfterMs)) {
    return deny('scope_window', `the scope "${scope.name}" ended at ${scope.not_after ?? ''}`);
  }
  let mustBeChecked = false;
  for (const target of question.targets) {
    const verdict = judgeTarget(rules, target, question.allow_private === true);
    if (verdict === 'check_addresses') mustBeChecked = true;
    else if (verdict !== 'inside') {
      return deny('scope_target', `${target.path}: ${verdict.outside} (scope "${scope.name}")`);
    }
  }
  return { allowed: true, addresses_must_be_checked: mustBeChecked };
}

/**
 * Why an address that a host stands for lies outside a scope; undefined where it lies inside. `host` is the canonical
 * name that was looked up, or the address itself. A name rule alone never opens special addresses: whoever runs the
 * name's zone could point it at them.
 */
export function addressOutside(
  scope: Scope,
  host: string,
  address: { address: string },
  allowPrivate: boolean,
): string | undefined {
  const canonical = canonicalAddress(address.address);
  if ('problem' in canonical) return `${host} has an address that cannot be used: ${canonical.problem}`;
  const network = parseNetwork(canonical.host);
  if ('problem' in network) return network.problem;
  const rules = compile(scope);
  if (inNetworks(rules, network)) return undefined;
  if (!rules.any && !named(rules, host)) return `${canonical.host} lies in no network of the scope`;
  const what = specialPart(network);
  if (what === undefined || allowPrivate) return undefined;
  if (isLocalName(host) && named(rules, host) && what === 'a loopback address') return undefined;
  return `${canonical.host} is ${what}, which needs a network in the scope or the permission targets:private`;
}

interface Rules {
  tools: ReadonlySet<string>;
  networks: readonly NetworkMatcher[];
  names: ReadonlySet<string>;
  suffixes: readonly string[];
  any: boolean;
  notBeforeMs: number;
  notAfterMs: number;
}

const compiled = new WeakMap<Scope, Rules>();

/** Scopes are frozen in practice: one object is read once. A rule that cannot be read allows nothing. */
function compile(scope: Scope): Rules {
  const known = compiled.get(scope);
  if (known !== undefined) return known;
  const parsed = scope.targets.flatMap((text) => {
    const rule = parseTargetRule(text);
    return 'problem' in rule ? [] : [rule];
  });
  const rules: Rules = {
    tools: new Set(scope.tools),
    networks: parsed.flatMap((rule) => (rule.kind === 'network' ? [networkMatcher(rule.network)] : [])),
    names: new Set(parsed.flatMap((rule) => (rule.kind === 'name' ? [rule.name] : []))),
    suffixes: parsed.flatMap((rule) => (rule.kind === 'suffix' ? [rule.suffix] : [])),
    any: parsed.some((rule) => rule.kind === 'any'),
    notBeforeMs: scope.not_before === undefined ? -Infinity : Date.parse(scope.not_before),
    notAfterMs: scope.not_after === undefined ? Infinity : Date.parse(scope.not_after),
  };
  compiled.set(scope, rules);
  return rules;
}

type Verdict = 'inside' | 'check_addresses' | { outside: string };

/** The target is read again from its text: what travelled beside it is not believed. */
function judgeTarget(rules: Rules, target: Target, allowPrivate: boolean): Verdict {
  const read = parseTarget(target.kind, target.value, target.path);
  if ('problem' in read) return { outside: read.problem };
  const network = parseNetwork(read.prefix === undefined ? read.host : `${read.host}/${read.prefix.toString()}`);
  if ('problem' in network) return judgeName(rules, read.host, allowPrivate);
  if (inNetworks(rules, network)) return 'inside';
  if (!rules.any) return { outside: `${target.value} lies in no network of the scope` };
  const what = allowPrivate ? undefined : specialPart(network);
  if (what === undefined) return 'inside';
  const is = read.kind === 'cidr' ? 'holds' : 'is';
  return {
    outside: `${target.value} ${is} ${what}, which needs a network in the scope or the permission targets:private`,
  };
}

function judgeName(rules: Rules, host: string, allowPrivate: boolean): Verdict {
  if (named(rules, host)) return 'inside';
  if (isLocalName(host) && !allowPrivate && rules.networks.length === 0) {
    return { outside: `${host} is a name of this host, which needs the loopback network in the scope` };
  }
  if (rules.any) return allowPrivate ? 'inside' : 'check_addresses';
  if (rules.networks.length > 0) return 'check_addresses';
  return { outside: `${host} matches no name of the scope` };
}

function named(rules: Rules, host: string): boolean {
  return rules.names.has(host) || rules.suffixes.some((suffix) => host.endsWith(suffix));
}

function inNetworks(rules: Rules, network: Network): boolean {
  return rules.networks.some((matcher) => matcher.holds(network));
}

/** RFC 6761 §6.3: these names are the loopback addresses. */
function isLocalName(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost');
}

function deny(rule: 'scope_tool' | 'scope_target' | 'scope_window', detail: string): ScopeDecision {
  return { allowed: false, rule, detail };
}
