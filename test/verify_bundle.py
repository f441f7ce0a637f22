"""A second verifier of Writ's audit bundles: `verify_bundle.py DIR POLICY`; shares no code with the first.

Exit 0 verified, 1 tampered, 2 incomplete, pruned or not witnessed, 3 usage or I/O. Needs the `cryptography` package or
the `openssl` command. Numbers in comments are the rules of docs/audit-format.md.
"""
import base64, calendar, hashlib, json, os, re, struct, subprocess, sys, tempfile, time

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
MEMBERS = "bundle.json log.vkey checkpoint checkpoints.jsonl keys.json records.jsonl manifests.jsonl receipts.jsonl"
RECORD = set("v log seq prev ts id type outcome reason actor authz target data data_sha256 request_id".split())
MANIFEST, GRANT = "iss aud jti iat nbf exp grants orders", \
    "tool tool_digest action effects timeout_s scope requested_by required_role approvals"
RECEIPT = "iss jti iat boot_id seq results"
RESULT = "task_id attempt status started_at ended_at output_sha256 output_bytes error metadata_sha256"

class Bad(Exception):
    """Something contradicts."""

def need(condition, text):
    if not condition:
        raise Bad(text)

def sha(data): return hashlib.sha256(data).digest()
def node(left, right): return sha(b"\x01" + left + right)
def b64(data): return base64.b64encode(data).decode()
def unb64(text, bytes_count=None):
    data = base64.b64decode(text, validate=True)
    need(b64(data) == text and bytes_count in (None, len(data)), "base64 " + text[:60])
    return data
def unb64url(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(base64.urlsafe_b64encode(data).decode().rstrip("=") == text, "base64url")
    return data

def canonical(value, depth=1):  # RFC 8785, integers only (1, 4)
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        need(abs(value) < 2 ** 53, "an integer beyond 2^53 - 1")
        return str(value)
    need(isinstance(value, (list, dict)) and depth <= 32, "no canonical JSON")
    if isinstance(value, list):
        return "[" + ",".join(canonical(item, depth + 1) for item in value) + "]"
    need(not {"__proto__", "constructor", "prototype"} & set(value), "a forbidden key")
    keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
    return "{" + ",".join(canonical(key) + ":" + canonical(value[key], depth + 1) for key in keys) + "}"

def parse(data):
    text = data.decode("utf-8")
    value = json.loads(text)
    need(canonical(value) == text, "not canonical")
    return value

def holds(jwk, text, signature):  # one signature of 64 bytes by a JWK
    ed = jwk["kty"] == "OKP"
    der = bytes.fromhex("302a300506032b6570032100") + unb64url(jwk["x"]) if ed else bytes.fromhex(
        "3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04" + unb64url(jwk["x"]) + unb64url(jwk["y"])
    if len(signature) != 64:
        return False
    if not ed:
        def integer(raw):
            raw = raw.lstrip(b"\0") or b"\0"
            raw = b"\0" + raw if raw[0] > 127 else raw
            return bytes([2, len(raw)]) + raw
        body = integer(signature[:32]) + integer(signature[32:])
        signature = bytes([0x30, len(body)]) + body
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("key", "text", "signature")]
            for path, content in zip(paths, (der, text, signature)):
                with open(path, "wb") as file:
                    file.write(content)
            command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", paths[0], "-rawin", "-in",
                       paths[1], "-sigfile", paths[2]] + ([] if ed else ["-digest", "sha256"])
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        key = serialization.load_der_public_key(der)
        key.verify(signature, text) if ed else key.verify(signature, text, ec.ECDSA(hashes.SHA256()))
        return True
    except InvalidSignature:
        return False

def thumbprint(jwk):
    need(set(jwk) == (set("kty crv x".split()) if jwk["kty"] == "OKP" else set("kty crv x y".split())), "JWK members")
    return base64.urlsafe_b64encode(sha(canonical(jwk).encode())).decode().rstrip("=")

def vkey(text, kind=None):  # name, key id, type, raw key
    name, key_id, material = text.split("+", 2)
    raw = unb64(material)
    need(len(raw) == 33 and raw[0] in (1, 4) and kind in (None, raw[0]), "verifier key")
    need(sha(name.encode() + b"\n" + raw)[:4].hex() == key_id, "key id")
    return name, key_id, raw[0], base64.urlsafe_b64encode(raw[1:]).decode().rstrip("=")

def read_policy(path):
    logs, witnesses, members, quorum = [], [], {"none": lambda signed: True}, None
    with open(path, encoding="utf-8") as file:
        for words in (line.split() for line in file):
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "log":
                logs.append(vkey(words[1], 1))
            elif words[0] == "witness":
                witnesses.append(vkey(words[2], 4))
                members[words[1]] = lambda signed, key=witnesses[-1]: key in signed
            elif words[0] == "group":
                group = [members[name] for name in words[3:]]
                count = {"any": 1, "all": len(group)}.get(words[2]) or int(words[2])
                members[words[1]] = lambda signed, g=group, k=count: sum(member(signed) for member in g) >= k
            else:
                quorum = members[words[1]]
    return logs, witnesses, quorum

def open_note(text, keys):  # 24
    body, signatures = text[:text.rindex("\n\n") + 1], text[text.rindex("\n\n") + 2:]
    signed, lines = [], signatures.split("\n")
    need(lines[-1] == "" and 2 <= len(lines) <= 17, "signatures")
    for line in lines[:-1]:
        dash, name, encoded = line.split(" ")
        raw = unb64(encoded)
        need(dash == "\u2014", "signature line")
        for key in keys:
            if key[:2] == (name, raw[:4].hex()):
                message, signature = body.encode(), raw[4:]
                if key[2] == 4:
                    stamp = struct.unpack(">Q", raw[4:12])[0]
                    message, signature = b"cosignature/v1\ntime %d\n" % stamp + message, raw[12:]
                need(holds({"kty": "OKP", "crv": "Ed25519", "x": key[3]}, message, signature), "signature of " + name)
                signed.append(key)
    origin, size, root, end = body.split("\n")
    need(end == "" and str(int(size)) == size, "three lines")
    return origin, int(size), unb64(root, 32), signed

def seconds(ts):  # 7
    need(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z", ts), "time " + ts)
    return calendar.timegm(time.strptime(ts[:19], "%Y-%m-%dT%H:%M:%S")) + int(ts[20:23]) / 1000

def shape(value, members, optional=""):  # 3
    need(isinstance(value, dict) and set(members.split()) <= set(value) <= set((members + " " + optional).split()), "members")

def no_null(value):  # 3, 9
    need(value is not None and not (isinstance(value, list) and len(value) > 500), "null, or a list over 500")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        no_null(item)

class Verifier:
    def __init__(self, folder, policy):
        self.folder, (self.logs, self.witnesses, self.quorum) = folder, read_policy(policy)
        self.keys, self.log_keys, self.nodes_since, self.covered, self.absent = {}, [], {}, 0, []
        self.orders, self.highest, self.manifests, self.receipts, self.jtis, self.ids = {}, {}, {}, {}, set(), set()
        self.boots, self.after, self.named, self.pruned, self.evidence = {}, {}, {}, set(), {}

    def whole(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def lines(self, name):
        data = self.whole(name)
        need(data == b"" or data.endswith(b"\n"), "the end of " + name)
        return data.split(b"\n")[:-1]

    def known_log_keys(self):  # 19
        return self.logs + [key for seq, key in self.log_keys if seq < self.covered] + self.witnesses

    def run(self):
        names = set(os.listdir(self.folder))
        need(names - {"trust.jsonl"} == set(MEMBERS.split()), "members")  # 30
        head = parse(self.whole("bundle.json")[:-1])
        need(self.whole("bundle.json").endswith(b"\n"), "the end of bundle.json")
        shape(head, "v log from size created prefix")
        seconds(head["created"])
        self.head, self.start, size = head, head["from"], head["size"]
        self.log, self.note = head["log"], self.whole("checkpoint").decode()
        offered = [vkey(line.decode(), 1) for line in self.lines("log.vkey")]
        origin, signed_size, root, _ = open_note(self.note, self.logs + self.witnesses)
        need((origin, signed_size) == (self.log, size) and head["v"] == 1, "bundle.json and checkpoint")
        need(offered and all(key[0] == self.log for key in offered), "log.vkey")
        need("trust.jsonl" not in names or self.start > 0, "trust.jsonl in a whole log")
        self.read_trust(names, root)
        for name in ("manifests", "receipts"):
            for line in map(parse, self.lines(name + ".jsonl")):
                shape(line, "sha256 jws")
                need(sha(line["jws"].encode()).hex() == line["sha256"], name + ": hash")
                self.evidence.setdefault(name, []).append((line["sha256"], line["jws"]))
        self.read_records(root)
        origin, _, _, signed = open_note(self.note, self.known_log_keys())
        need(any(key[2] == 1 and key[0] == origin for key in signed), "the log did not sign the checkpoint")
        if not self.quorum(signed):
            self.absent.append("not witnessed")
        self.finish(offered)
        return self.absent

    def read_trust(self, names, root):  # 28
        if self.start > 0 and "trust.jsonl" not in names:
            self.absent.append("trust.jsonl")
        last = -1
        for line in map(parse, self.lines("trust.jsonl") if "trust.jsonl" in names else []):
            shape(line, "seq record proof")
            seq, record = line["seq"], parse(line["record"].encode())
            need(last < seq < self.start and record["seq"] == seq and record["log"] == self.log, "trust: place")
            at, end, value = seq, self.head["size"] - 1, sha(b"\0" + line["record"].encode())
            for sibling in (unb64(text, 32) for text in line["proof"]):  # RFC 9162 2.1.3.2
                need(end > 0, "trust: proof")
                if at % 2 or at == end:
                    value = node(sibling, value)
                    while at % 2 == 0 and at:
                        at, end = at // 2, end // 2
                else:
                    value = node(value, sibling)
                at, end = at // 2, end // 2
            need(end == 0 and value == root, "trust: proof")
            need(record["type"] in ("key.trust", "key.retire"), "trust: type")
            self.key(record)
            last = seq

    def read_records(self, root):
        head, start, size = self.head, self.start, self.head["size"]
        tree = [unb64(text, 32) for text in head["prefix"]]
        need(start <= size and len(tree) == bin(start).count("1"), "prefix")
        prev = b64(bytes(32)) if start == 0 else head["prefix"][-1] if start % 2 else None  # 6
        earlier = [(line["size"], line["note"]) for line in map(parse, self.lines("checkpoints.jsonl"))]
        sizes = [start] + [own for own, _ in earlier] + [size]
        need(all(one < two for one, two in zip(sizes, sizes[1:])) or (start == size and not earlier), "checkpoints: sizes")
        earlier, lines = dict(earlier), self.lines("records.jsonl")
        need(len(lines) == size - start, "records up to %d" % (size - 1))  # 31
        for seq, line in enumerate(lines, start):
            try:
                record = parse(line)
                need(len(line) <= 65535 and set(record) <= RECORD, "record members")
                need((record["v"], record["log"], record["seq"]) == (1, self.log, seq), "v, log, seq")  # 5
                need(prev in (None, record["prev"]) and len(unb64(record["prev"], 32)) == 32, "prev")
                no_null(record)
                leaf = value = sha(b"\0" + line)
                prev, count = b64(leaf), seq
                while count % 2:
                    value, count = node(tree.pop(), value), count // 2
                tree.append(value)
                self.record(record)
                if seq + 1 in earlier:
                    origin, own, own_root, signed = open_note(earlier[seq + 1], self.known_log_keys())
                    need(any(key[2] == 1 for key in signed), "checkpoint: signature")
                    need((origin, own, own_root) == (self.log, seq + 1, self.root(tree)), "checkpoint: root")
                    self.covered = seq + 1
            except (Bad, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise Bad("record %d: %s" % (seq, error)) from error
        need(self.root(tree) == root, "root")

    @staticmethod
    def root(tree):
        value = tree[-1] if tree else sha(b"")
        for left in reversed(tree[:-1]):
            value = node(left, value)
        return value

    def record(self, record):
        kind, data, seq = record["type"], record.get("data"), record["seq"]
        need(UUID.match(record["id"]) and record["id"] not in self.ids, "id")  # 7
        need(re.match(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+\Z", kind), "type")
        need(record["outcome"] in ("allow", "deny", "success", "failure", "error"), "outcome")
        need(data is None or "data_sha256" not in record, "data and data_sha256")
        self.ids.add(record["id"])
        at = seconds(record["ts"])
        if kind == "manifest.issue":
            need(data["jti"] not in self.manifests and record["outcome"] == "success", "manifest twice")  # 13, 21
            self.manifest(record, data, at)
        elif kind == "manifest.void":  # 16
            if data["jti"] not in self.manifests:
                self.manifest(record, data, None)
            orders, hashed = self.manifests[data["jti"]]
            need(hashed == data["manifest_sha256"] and orders is not False, "void")
            for order in orders or []:
                need(self.orders[order][1] == "open", "void of an answered order")
                self.orders[order][1] = "void"
            self.manifests[data["jti"]] = (False, hashed)
        elif kind in ("receipt.accept", "receipt.late"):
            self.receipt(record, data, at, kind == "receipt.accept")
        elif kind == "attempt.lost":
            for task, attempt in data["attempts"]:
                self.stop(None, (task, attempt), "lost")
        elif kind == "evidence.prune":  # 18
            for hashed in data["sha256"]:
                need(hashed in self.named or self.start > 0, "prune")
                self.pruned.add(hashed)
        elif kind in ("key.trust", "key.retire"):
            self.key(record)
        elif kind == "task.submit" and record["outcome"] in ("allow", "success"):  # 10
            need(record["target"]["ids"] and re.match("[0-9a-f]{64}\\Z", data["tasks_sha256"]), "submission")
        need(data is not None or not re.match(r"(manifest|receipt|key)\.|attempt\.lost\Z|evidence\.prune\Z", kind), "data")  # 8

    def take(self, member, hashed, optional=False):  # 27
        need(hashed not in self.named, "named twice")
        lines = self.evidence.get(member, [])
        self.named[hashed] = "kept" if lines and lines[0][0] == hashed else "optional" if optional else "absent"
        return lines.pop(0)[1] if self.named[hashed] == "kept" else None

    def open_jws(self, jws, kind, use):  # 12, 20
        header, payload, signature = jws.split(".")
        head = parse(unb64url(header))
        need(set(head) == {"alg", "kid", "typ"} and head["typ"] == kind and len(jws) <= 512 * 1024, "header")
        key = self.keys.get(head["kid"])
        if key is None and "trust.jsonl" in self.absent:
            return None
        need(key is not None and key["use"] == use, "a key that is not trusted")
        need(head["alg"] == ("EdDSA" if key["jwk"]["kty"] == "OKP" else "ES256"), "alg")
        need(holds(key["jwk"], (header + "." + payload).encode(), unb64url(signature)), "signature")
        value = parse(unb64url(payload))
        need(key["from"] - 30 <= value["iat"] < key["until"] + 30, "signed outside the key's time")
        key["newest"] = max(key["newest"], value["iat"])
        need(use != "node" or key["node"] == value["iss"], "key of another node")
        return value

    def manifest(self, record, data, at):
        jws = self.take("manifests", data["manifest_sha256"], at is None)
        value = jws and self.open_jws(jws, "writ-manifest+jws", "manifest")
        self.manifests[data["jti"]] = (None if not value else [], data["manifest_sha256"])
        if not value:
            return
        shape(value, MANIFEST)
        for grant in value["grants"]:
            shape(grant, GRANT)
        need((value["iss"], value["jti"]) == (self.log, data["jti"]), "iss, jti")  # 21, 22
        need(value["nbf"] == value["iat"] and value["exp"] == value["iat"] + 60, "times")
        need(at is None or value["iat"] - 30 <= at <= value["exp"] + 30, "recorded at another time")  # 12
        need({order["grant"] for order in value["orders"]} == set(range(len(value["grants"]))), "grants")
        for order in value["orders"]:
            shape(order, "task_id attempt grant payload_sha256", "traceparent")
            task, attempt = order["task_id"], order["attempt"]
            need(attempt > self.highest.get(task, 0), "attempt is not higher")  # 17
            self.highest[task] = attempt
            self.orders[task, attempt] = [value["aud"], "open"]
            self.manifests[data["jti"]][0].append((task, attempt))

    def receipt(self, record, data, at, counted):
        need(record["outcome"] == ("success" if counted else "deny"), "outcome")  # 13
        hashed = data["receipt_sha256"]
        if hashed not in self.named:
            jws = self.take("receipts", hashed)
            value = jws and self.open_jws(jws, "writ-receipt+jws", "node")
            self.receipts[hashed] = None
            if value:
                shape(value, RECEIPT, "previous_boot")
                need(value["jti"] not in self.jtis and value["iat"] <= at + 300, "jti, iat")
                self.jtis.add(value["jti"])
                self.boot(value)
                results = {}
                for result in value["results"]:
                    shape(result, RESULT)
                    results[result["task_id"], result["attempt"]] = result["status"]
                need(len(results) == len(value["results"]), "two results of one attempt")
                self.receipts[hashed] = (value["iss"], results, record["seq"])
        issuer, results, _ = self.receipts[hashed] or (None, None, None)
        for task, attempt, status in data["results"]:
            need(results is None or results.pop((task, attempt), None) == status, "results of the receipt")  # 14
            self.stop(issuer, (task, attempt), "accepted" if counted else "late")

    def stop(self, issuer, order, state):  # 15; a late result is what its node claims, and contradicts nothing
        known = self.orders.get(order)
        if state == "late":
            return
        if known is None:
            may_miss = self.start > 0 or any(orders is None for orders, _ in self.manifests.values())
            need(may_miss, "an answer to no order")
            self.orders[order] = [None, state]
            return
        need(known[1] == "open", "a second stop")
        need(issuer is None or known[0] in (None, issuer), "an answer by another node")
        known[1] = state

    def boot(self, value):  # 23
        key, seq, before = (value["iss"], value["boot_id"]), value["seq"], value.get("previous_boot")
        seqs = self.boots.setdefault(key, set())
        need(seq not in seqs and (before is None or seq == 0), "receipt seq")
        seqs.add(seq)
        if seq == 0:
            name = (value["iss"], before and before["boot_id"])
            need(name not in self.after, "two boots after one")
            self.after[name] = (value["boot_id"], before["seq"] if before else -1)
        for name, (_, last) in self.after.items():
            if name[0] == value["iss"] and name[1] is not None:
                need(max(self.boots.get(name, {-1})) <= last, "a receipt beyond the last of its boot")

    def key(self, record):  # 11
        data = record["data"]
        if record["type"] == "key.trust":
            need(data["kid"] not in self.keys and thumbprint(data["jwk"]) == data["kid"], "key.trust")
            need((data["use"] == "node") == ("node_id" in data) and (data["use"] == "log") == ("vkey" in data), "use")
            self.keys[data["kid"]] = {"jwk": data["jwk"], "use": data["use"], "node": data.get("node_id"), "data": data,
                                      "from": seconds(data["from"]), "until": 1e18, "retired": None, "newest": -1e18}
            self.nodes_since.setdefault(data.get("node_id"), record["seq"])
            if data["use"] == "log":
                key = vkey(data["vkey"], 1)
                need(key[0] == self.log and key[3] == data["jwk"]["x"], "vkey")
                self.log_keys.append((record["seq"], key))
        elif data["kid"] in self.keys or "trust.jsonl" not in self.absent:
            key = self.keys[data["kid"]]
            until = seconds(data["until"])
            need(key["retired"] is None and key["newest"] < until + 30, "key.retire")
            key["until"], key["retired"] = until, data["until"]

    def finish(self, offered):
        need(not any(self.evidence.values()), "evidence that no record names, or not in their order")
        for receipt in self.receipts.values():
            if receipt and receipt[1] and self.start == 0:
                need(receipt[2] == self.head["size"] - 1, "results that no record told")
                self.absent.append("results cut off")
        archive = {key["data"]["kid"]: {**key["jwk"], "kid": kid, "writ_use": key["use"], "writ_from": key["data"]["from"],
                   **({"writ_node": key["node"]} if key["node"] else {}),
                   **({"writ_until": key["retired"]} if key["retired"] else {})}
                   for kid, key in self.keys.items() if key["use"] != "log"}
        need(self.whole("keys.json").endswith(b"\n"), "the end of keys.json")
        listed = parse(self.whole("keys.json")[:-1])["keys"]
        if "trust.jsonl" in self.absent:
            listed = [key for key in listed if key["kid"] in archive]
        need(len(listed) == len(archive) and all(archive.get(key["kid"]) == key for key in listed), "keys.json")  # 26
        known = {key[3] for key in self.logs} | {key[3] for _, key in self.log_keys}
        need("trust.jsonl" in self.absent or all(key[3] in known for key in offered), "log.vkey")
        gone = [hashed for hashed, state in self.named.items() if state == "absent"]
        self.absent += ["missing " + hashed for hashed in gone if hashed not in self.pruned]
        self.absent += ["pruned " + hashed for hashed in gone if hashed in self.pruned]
        gaps = sum(1 for hashed in gone if hashed in self.receipts)
        for (issuer, boot_id), seqs in self.boots.items():
            before = next((name for name, (after, _) in self.after.items() if name[0] == issuer and after == boot_id), None)
            whole = self.nodes_since.get(issuer, -1) >= self.start
            if whole or before in self.boots:
                gaps -= max(max(seqs), self.after.get((issuer, boot_id), (None, -1))[1]) + 1 - len(seqs)
            if whole and before and before[1] and before not in self.boots:
                gaps -= self.after[before][1] + 1
        if gaps < 0:
            self.absent.append("%d receipts missing in their sequences" % -gaps)

def main():
    if len(sys.argv) != 3:
        print("usage: verify_bundle.py DIR POLICY", file=sys.stderr)
        return 3
    try:
        verifier = Verifier(sys.argv[1], sys.argv[2])
        need(verifier.quorum is not None, "a policy without a quorum")
    except (Bad, OSError, ValueError, LookupError) as error:
        print("policy: %s" % error, file=sys.stderr)
        return 3
    try:
        absent = verifier.run()
    except OSError as error:
        print(error, file=sys.stderr)
        return 3
    except (Bad, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        print("tampered: %r" % (error,))
        return 1
    print("\n".join(absent) or "verified")
    return 2 if absent else 0

if __name__ == "__main__":
    sys.exit(main())
