/** The built-in tools by the names that catalog entries use. */

import type { BuiltinName } from '../../domain/tool.ts';
import type { Builtin } from './builtin.ts';
import { dnsLookup } from './dns-lookup.ts';
import { fileIntegrity } from './file-integrity.ts';
import { httpProbe } from './http-probe.ts';
import { noopAppend, noopRun } from './noop.ts';
import { tcpConnect } from './tcp-connect.ts';
import { tlsInspect } from './tls-inspect.ts';

export const builtins: Readonly<Record<BuiltinName, Builtin>> = {
  'tls.inspect': tlsInspect,
  'http.probe': httpProbe,
  'tcp.connect': tcpConnect,
  'dns.lookup': dnsLookup,
  'file.integrity': fileIntegrity,
  'noop.run': noopRun,
  'noop.append': noopAppend,
};
