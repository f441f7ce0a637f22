/** The server settings of an embedded PostgreSQL. */

/**
 * Given on the command line, so that no file in the data folder can say otherwise. All data is safe on disk at commit: what makes
 * this fast is memory and fewer checkpoints, never a lost write.
 */
export function serverSettings(port: number, overrides: Readonly<Record<string, string>>): Record<string, string> {
  return {
    // Reachable from this machine alone, by password: no socket file that another local account might open.
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    // A commit is on disk before it is answered: the audit log's promises begin with this one.
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    // Holds the queue and the tables' hot ends; the rest is the operating system's cache.
    shared_buffers: '128MB',
    // Checkpoints come by time, not by volume, and write full pages anew less often.
    max_wal_size: '1GB',
    // The log's rows are hashes and signatures, which do not compress.
    wal_compression: 'off',
    // Replication is not for an embedded server: less is written to the log.
    wal_level: 'minimal',
    max_wal_senders: '0',
    // Statements take milliseconds; compiling one takes tens of them.
    jit: 'off',
    max_connections: '100',
    // Makes who creates a role a member of it, so that the database's owner can hand the service's role to its connections.
    createrole_self_grant: 'set, inherit',
    // The file grows only by what went wrong.
    log_min_messages: 'warning',
    log_checkpoints: 'off',
    // Details quote the rows that a statement failed on.
    log_error_verbosity: 'terse',
    lc_messages: 'C',
    ...overrides,
  };
}

/** As arguments of `postgres`. */
export function settingArguments(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}
