/** `tls.inspect`: protocol, cipher and certificates of a TLS server, and whether this machine would trust them. */

import type { Builtin } from './builtin.ts';
import { connectInScope } from './connect.ts';
import { optionalText, requiredPort, requiredText } from './read-parameters.ts';
import { startTls } from './tls-session.ts';

/** Parameters: `host`, `port`, `server_name` (asked for and compared with the certificate; default the host). */
export const tlsInspect: Builtin = async (parameters, context) => {
  const host = requiredText(parameters, 'host');
  const port = requiredPort(parameters, 'port');
  const serverName = optionalText(parameters, 'server_name') ?? host;
  const connection = await connectInScope(host, port, context);
  const startedMs = context.clock.monotonicMs();
  const { socket, facts } = await startTls(connection, serverName, context.clock.now());
  socket.destroy();
  return {
    output: {
      host,
      port,
      server_name: serverName,
      address: connection.address.address,
      connect_ms: connection.connectMs,
      handshake_ms: Math.round(context.clock.monotonicMs() - startedMs),
      ...facts,
    },
  };
};
