"""Reads a telemetry queue of Writ and tells each event once, as a line of JSON, on standard output or in a file.

    pip install --only-binary :all: --require-hashes -r requirements.txt     (Python 3.9 or newer, pika 1.4.4)
    python3 consume_telemetry.py --url amqps://HOST:5671/%2F --ca ca.pem --cert client.pem --key client.key

Settings are arguments (--help) or variables of the environment: TELEMETRY_URL stands for --url, and so on. A message
is acknowledged when its events are written and the state, an SQLite file, is committed. What somebody should know goes
to standard error, a line of JSON each: `gap`, `late`, `rejected`, `disconnected`. A gap does not end the program.
SIGTERM ends it in order, with status 0. Status 1: the state or the output cannot be used; 2: a setting is wrong.
"""
import argparse, json, logging, os, random, re, signal, sqlite3, ssl, sys, time
from urllib.parse import unquote, urlsplit

import pika

REMEMBERED = 10_000  # Ids of the latest events: as many as --prefetch messages hold, and as Writ may send again.
BACKOFF_INITIAL_S, BACKOFF_MAX_S = 0.5, 30
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# EXTRA: a commit outlives a loss of power, and only what does may be acknowledged.
SCHEMA = """
    PRAGMA synchronous = EXTRA;
    CREATE TABLE IF NOT EXISTS position (audit_seq INT, event_index INT, event_count INT, output_bytes INT);
    CREATE TABLE IF NOT EXISTS seen (number INTEGER PRIMARY KEY, event_id TEXT UNIQUE);
    INSERT INTO position SELECT -1, -1, 0, NULL WHERE NOT EXISTS (SELECT * FROM position);
"""


def main():
    settings = read_settings()
    logging.getLogger("pika").setLevel(logging.CRITICAL + 1)  # The notices say the same.
    consumer = Consumer(settings, Journal(settings.state, settings.output))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(consumer, "stopping", True))
    consumer.run()


def read_settings():
    parser = argparse.ArgumentParser(description="Tells each event of a telemetry queue of Writ once.")

    def setting(name, meaning, default=None):
        value = os.environ.get("TELEMETRY_" + name.upper(), default)
        parser.add_argument("--" + name, default=value, required=value is None, help=meaning)

    setting("url", "amqps://HOST:PORT/VHOST; in the name of a virtual host, / is %%2F")
    setting("ca", "file of the authorities that vouch for the broker")
    setting("cert", "file of the client certificate")
    setting("key", "file of its key")
    setting("queue", "telemetry.events or telemetry.batches", "telemetry.events")
    setting("state", "file that this program keeps its state in", "telemetry-state.sqlite")
    setting("output", "file to append events to; empty for standard output", "")
    setting("prefetch", "messages under way at most, 1 to 1000", "20")
    settings = parser.parse_args()
    if not re.fullmatch(r"amqps://([^/@:\[\]]+|\[[0-9a-f:]+\])(:\d{1,5})?(/[^/]*)?", settings.url):
        parser.error("--url is of the form amqps://HOST:PORT/VHOST")
    if not re.fullmatch(r"[1-9]\d{0,2}|1000", settings.prefetch):
        parser.error("--prefetch is a number from 1 to 1000")
    return settings


class Consumer:
    """Takes messages off the queue, hands them to the journal, and acknowledges what that has committed."""

    def __init__(self, settings, journal):
        self.settings, self.journal = settings, journal
        self.stopping, self.failures = False, 0

    def run(self):
        """Until it is stopped. Comes back after a time that grows, and that is another for each consumer."""
        while not self.stopping:
            try:
                self.consume()
                reason = "the broker ended the consumer"
            except (pika.exceptions.AMQPError, OSError) as error:
                reason = repr(error)
            if not self.stopping:
                delay_s = random.random() * min(BACKOFF_MAX_S, BACKOFF_INITIAL_S * 2 ** min(self.failures, 10))
                self.failures += 1
                notice("disconnected", reason=reason, retry_in_s=round(delay_s, 3))
                until = time.monotonic() + delay_s
                while not self.stopping and time.monotonic() < until:
                    time.sleep(0.05)
        notice("stopped", told=self.journal.told, repeated=self.journal.repeated)

    def consume(self):
        """One connection, until it ends. What arrived together is committed together, then acknowledged in order."""
        connection = pika.BlockingConnection(self.parameters())
        channel, burst = connection.channel(), []
        try:
            channel.basic_qos(prefetch_count=int(self.settings.prefetch))
            channel.basic_consume(self.settings.queue, lambda _, *message: burst.append(message))
            while channel.is_open and channel.consumer_tags and not self.stopping:
                connection.process_data_events(time_limit=0.5)
                self.failures = 0
                self.settle(channel, burst)
        finally:
            # While there is a consumer pika's goodbye would give back what is out by requeueing it, which puts it at the end
            # of the queue. With a connection that just ends, as this process does then, it goes back to its place.
            if connection.is_open and not channel.consumer_tags:
                connection.close()

    def settle(self, channel, burst):
        if burst:
            for (method, _, _), readable in zip(burst, self.journal.take(burst)):
                if readable:
                    channel.basic_ack(method.delivery_tag)
                else:
                    channel.basic_reject(method.delivery_tag, requeue=False)
            burst.clear()

    def parameters(self):
        """Mutual TLS. Files are read for each connection, so that a renewed certificate is used by the next."""
        url = urlsplit(self.settings.url)
        context = ssl.create_default_context(cafile=self.settings.ca)  # Checks the chain and the name of the host.
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.settings.cert, self.settings.key)
        return pika.ConnectionParameters(
            host=url.hostname, port=url.port or 5671, virtual_host=unquote(url.path[1:]) or "/",
            ssl_options=pika.SSLOptions(context, url.hostname), credentials=pika.credentials.ExternalCredentials(),
            heartbeat=30, socket_timeout=10, stack_timeout=15,
        )


class Journal:
    """Owns state and output. Invariant: all that was told by the state is in the output; on the disk, if it is a file."""

    def __init__(self, state, output):
        self.told = self.repeated = 0
        self.db = sqlite3.connect(state)
        self.db.executescript(SCHEMA)
        self.is_file = output != ""
        self.output = open(output, "ab") if self.is_file else open(1, "wb", closefd=False)
        ((length,),) = self.db.execute("SELECT output_bytes FROM position")
        if self.is_file and length is not None:
            if self.output.tell() < length:
                sys.exit(f"{output} is shorter than {state} says: it is another file")
            self.output.truncate(length)  # Beyond is what was written and not committed; it comes again.
        self.take([])

    def take(self, messages):
        """Tells what is new in the messages, and commits. Answers for each whether it is of the documented form.

        One transaction. A team with a database of its own writes events and state into that, in one transaction too.
        """
        readable, lines = [], []
        with self.db:
            (position,) = self.db.execute("SELECT audit_seq, event_index, event_count FROM position")
            for _, properties, body in messages:
                try:
                    events = read_events(properties, body)
                except (ValueError, RecursionError) as error:
                    notice("rejected", message_id=properties.message_id, reason=str(error))
                    events = None
                readable.append(events is not None)
                for event, line in events or []:
                    position = self.place(event, line, position, lines)
            length = self.write("".join(lines).encode())
            self.db.execute(
                "UPDATE position SET audit_seq = ?, event_index = ?, event_count = ?, output_bytes = ?",
                (*position, length),
            )
            self.db.execute("DELETE FROM seen WHERE number <= (SELECT max(number) FROM seen) - ?", (REMEMBERED,))
        return readable

    def place(self, event, line, position, lines):
        """Drops what came before, tells the rest; late is what lies behind the position. Answers the new position."""
        at = event["attributes"]
        if self.db.execute("INSERT OR IGNORE INTO seen (event_id) VALUES (?)", (event["event_id"],)).rowcount == 0:
            self.repeated += 1
            return position
        lines.append(line)
        self.told += 1
        if (at["audit_seq"], at["index"]) <= position[:2]:
            notice("late", event_id=event["event_id"], audit_seq=at["audit_seq"], index=at["index"])
            return position
        for gap in gaps_before(at, *position):
            notice("gap", **gap)
        return at["audit_seq"], at["index"], at["count"]

    def write(self, data):
        """Answers the length of the file, with all of it on the disk; None for standard output."""
        try:
            self.output.write(data)
            self.output.flush()
            if self.is_file:
                os.fsync(self.output.fileno())
            return self.output.tell() if self.is_file else None
        except OSError as error:  # Not a matter of the connection: coming back does not help.
            sys.exit(f"cannot write events: {error}")


def gaps_before(at, seq, index, count):
    """What is missing between the event number `index` of `count` of record `seq` and one that comes after it."""
    first = index + 1 if at["audit_seq"] == seq else 0
    if at["audit_seq"] > seq and index + 1 < count:
        yield {"audit_seq": seq, "from_index": index + 1, "to_index": count - 1}
    if at["audit_seq"] > seq and at["previous_audit_seq"] > seq:
        yield {"from_audit_seq": seq + 1, "to_audit_seq": at["previous_audit_seq"]}
    if at["index"] > first:
        yield {"audit_seq": at["audit_seq"], "from_index": first, "to_index": at["index"] - 1}


def read_events(properties, body):
    """The events of a message, each with its line. ValueError where the message is not of the documented form."""
    text = body.decode("utf-8")
    if properties.content_type == "application/json":
        return [read_event(text)]
    need(properties.content_type == "application/x-ndjson", "content_type")
    *lines, rest = text.split("\n")
    need(rest == "" and lines and (properties.headers or {}).get("x-event-count") == len(lines), "x-event-count")
    return [read_event(line) for line in lines]


def read_event(text):
    """Types and members that it does not know are passed on: there may be new ones at any time."""
    event = json.loads(text, parse_constant=lambda name: need(False, name))
    need(isinstance(event, dict), "event")
    for member in ("event_id", "event_type", "timestamp", "status"):
        need(isinstance(event.get(member), str), member)
    need(UUID.fullmatch(event["event_id"]), "event_id")
    for member in ("actor", "target"):
        need(isinstance(event.get(member, ""), (dict, type(None))), member)
    at = event.get("attributes")
    need(isinstance(at, dict), "attributes")
    for member, least in (("audit_seq", 0), ("previous_audit_seq", -1), ("index", 0), ("count", 1)):
        need(type(at.get(member)) is int and least <= at[member] < 2**53, member)
    need(at["previous_audit_seq"] < at["audit_seq"] and at["index"] < at["count"], "attributes")
    return event, json.dumps(event, separators=(",", ":"), allow_nan=False) + "\n"


def need(condition, member):
    if not condition:
        raise ValueError(f"not of the documented form: {member}")


def notice(name, **fields):
    print(json.dumps({"notice": name, **fields}), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
