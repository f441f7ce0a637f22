/** `tcp.connect`: whether a port can be reached, and how long that takes. */

import type { Builtin } from './builtin.ts';
import { connectInScope } from './connect.ts';
import { requiredPort, requiredText } from './read-parameters.ts';

/** Parameters: `host`, `port`. */
export const tcpConnect: Builtin = async (parameters, context) => {
  const host = requiredText(parameters, 'host');
  const port = requiredPort(parameters, 'port');
  const { socket, address, connectMs } = await connectInScope(host, port, context);
  socket.destroy();
  return { output: { host, port, address: address.address, family: address.family, connect_ms: connectMs } };
};
