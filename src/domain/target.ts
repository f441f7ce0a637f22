/** Targets that a payload names, and the one canonical form of a host, so that no two programs read one text differently. */

import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';

/** What a member marked with `x-writ-target` names. */
export const targetKinds = ['host', 'ip', 'cidr', 'url'] as const;
export type TargetKind = (typeof targetKinds)[number];

/** One target of an action, as its payload names it. */
export interface Target {
  kind: TargetKind;
  /** As it stands in the payload. */
  value: string;
  /** Canonical: an IP address, or a name in lower case, in A-labels, without the trailing dot; of a `cidr` its base address. */
  host: string;
  /** Bits of the network part, of a `cidr` only. */
  prefix?: number;
  /** Of a `url`, its default port where it names none. */
  port?: number;
  /** Dotted path of the member in the payload. */
  path: string;
}

/** Why a text is not what it should be, as a sentence that says what to write instead. */
export interface Problem {
  problem: string;
}

export interface CanonicalHost {
  host: string;
  /** 0 for a name. */
  family: 0 | 4 | 6;
}

const numericLabel = /^(\d+|0x[0-9a-f]*)$/;
const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * The canonical form of a host name or IP address. An attacker controls the text: forms that resolvers and URL parsers
 * read as an address though they do not look like one (octal, hexadecimal, short and single-number IPv4, full-width
 * digits), zone ids, percent-encoding, ports and userinfo are refused. IPv4-mapped IPv6 becomes IPv4.
 */
export function canonicalHost(text: string): CanonicalHost | Problem {
  if (text.length === 0 || text.length > 255) return { problem: 'a host has 1 to 255 characters' };
  const family = isIP(text);
  if (family !== 0) return canonicalAddress(text);
  const written = text.endsWith('.') ? text.slice(0, -1) : text;
  const last = written.slice(written.lastIndexOf('.') + 1).toLowerCase();
  if (numericLabel.test(last))
    return { problem: 'write an IPv4 address as four decimal numbers without leading zeros' };
  // `domainToASCII` reads as a URL does and would cut the text at a slash or a question mark.
  const ascii = /^[A-Za-z0-9._\-\u0080-\u{10ffff}]+$/u.test(written) ? domainToASCII(written) : '';
  if (ascii === '' || isIP(ascii) !== 0) return { problem: 'not a host name or IP address' };
  if (ascii.length > 253 || !ascii.split('.').every((part) => label.test(part))) {
    return { problem: 'not a host name: labels of letters, digits, "-" and "_", 63 characters each at most' };
  }
  return { host: ascii, family: 0 };
}

/** The canonical form of an IP address as a resolver or a payload gives it. */
export function canonicalAddress(text: string): CanonicalHost | Problem {
  const family = isIP(text);
  if (family === 4) return { host: text, family: 4 };
  if (family === 0) return { problem: 'not an IP address' };
  if (text.includes('%'))
    return { problem: 'a zone id means nothing on another machine; write the address without it' };
  const address = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(address);
  if (mapped === null) return { host: address, family: 6 };
  const bits = parseInt(mapped[1] ?? '', 16) * 65_536 + parseInt(mapped[2] ?? '', 16);
  return { host: [24, 16, 8, 0].map((shift) => ((bits >>> shift) & 255).toString()).join('.'), family: 4 };
}

export interface Network {
  /** Canonical base address. */
  host: string;
  family: 4 | 6;
  prefix: number;
}

/** Reads `address/bits`, or one address as the network of itself. Bits beyond the prefix are ignored, as routers do. */
export function parseNetwork(text: string): Network | Problem {
  const slash = text.indexOf('/');
  const written = slash === -1 ? text : text.slice(0, slash);
  const base = canonicalAddress(written);
  if ('problem' in base) return base;
  const family = base.family === 4 ? 4 : 6;
  const bitsMax = family === 4 ? 32 : 128;
  if (slash === -1) return { host: base.host, family, prefix: bitsMax };
  if (family === 4 && written.includes(':')) return { problem: 'write an IPv4-mapped network as IPv4' };
  const bits = text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > bitsMax) {
    return { problem: `the prefix of this network is a number from 0 to ${bitsMax.toString()}` };
  }
  return { host: base.host, family, prefix: Number(bits) };
}

/** Reads a payload's text as a target of a kind; `path` is where it stands. */
export function parseTarget(kind: TargetKind, value: string, path: string): Target | Problem {
  switch (kind) {
    case 'host': {
      const host = canonicalHost(value);
      return 'problem' in host ? host : { kind, value, host: host.host, path };
    }
    case 'ip': {
      const address = canonicalAddress(value);
      return 'problem' in address ? address : { kind, value, host: address.host, path };
    }
    case 'cidr': {
      const network = parseNetwork(value);
      return 'problem' in network ? network : { kind, value, host: network.host, prefix: network.prefix, path };
    }
    case 'url':
      return parseUrlTarget(value, path);
  }
}

/** `http` and `https` only. The host must read the same as written and as a URL parser understands it. */
function parseUrlTarget(value: string, path: string): Target | Problem {
  const authority = /^https?:\/\/([^/?#]*)/i.exec(value)?.[1];
  if (authority === undefined || !URL.canParse(value)) return { problem: 'write an absolute http or https URL' };
  // URL parsers drop tabs and line feeds and take a backslash for a slash: what a person reads is not what is fetched.
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u0020\u007f\\]/.test(value)) return { problem: 'a URL holds no white space and no backslash' };
  if (authority.includes('@')) return { problem: 'a URL with a user name or password is refused; take it out' };
  const url = new URL(value);
  const written = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::\d*)?$/.exec(authority);
  const host = canonicalHost(written?.[1] ?? written?.[2] ?? '');
  if ('problem' in host) return { problem: `the host of this URL: ${host.problem}` };
  const understood = canonicalHost(url.hostname.replace(/^\[|\]$/g, ''));
  if ('problem' in understood || understood.host !== host.host) {
    return { problem: 'the host of this URL reads differently to different programs; write it plainly' };
  }
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  return { kind: 'url', value, host: host.host, port, path };
}
