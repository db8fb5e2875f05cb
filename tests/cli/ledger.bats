#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A ledger as its owner, a stranger and a forger meet it.
load helper

recorded() { "$@" --ledger ledger --keys keys -q; }

# A ledger with six records of three runs, and the files that they speak of.
make_ledger() {
  fixture capture q.h5
  audit log init ledger --keys keys --origin example.org/test -q >/dev/null
  recorded sparsify mask q.h5 --at /layers/0 -o mask.h5 >/dev/null
  recorded sparsify attend q.h5 --at /layers/0 --mask mask.h5 -o attended.h5 >/dev/null
  recorded sparsify sweep q.h5 -o sweep.tsv >/dev/null
}

show() { audit log show ledger --json 2>/dev/null; }

@test "every run leaves an intent and a result, with digests" {
  make_ledger
  show | /usr/bin/python3 -c '
import json, sys
records = json.load(sys.stdin)
assert [r["phase"] for r in records] == ["intent", "result"] * 3, records
for i, (intent, result) in enumerate(zip(records[::2], records[1::2])):
    assert intent["run_id"] == result["run_id"] and intent["seq"] == 2 * i
    assert intent["command"]["argv"][0].endswith("sparsify"), intent
    assert intent["inputs"][0]["sha256"] and result["outputs"][0]["sha256"]
    assert result["exit_code"] == 0 and result["cost"]["seconds"] >= 0
'
  run -0 audit verify ledger
  [[ $output == *verified* && $output == *"key not pinned"* && $output == *"4 files named, 0 missing"* ]]
  run -0 audit verify ledger --strict --key ledger/log.pub --tool-key ledger/tool.pub
  [[ $output == *pinned* ]]
  audit verify ledger --json 2>/dev/null | is_json
}

@test "failures and refusals are recorded, a note is a record" {
  make_ledger
  fixture nan nan.h5
  run -3 recorded sparsify attend nan.h5 --at /layers/0 -o x.h5
  make_clips
  run -7 recorded distill pretrain -c model.yaml --data clips.h5 -o d.h5 --steps 1000000 --budget 0.01
  run -0 recorded audit log note ledger --message "looked at it"
  show | /usr/bin/python3 -c '
import json, sys
records = json.load(sys.stdin)[6:]
phases = [r["phase"] for r in records]
assert "failure" in phases and "refusal" in phases and "note" in phases, phases
failure = records[phases.index("failure")]
assert failure["exit_code"] == 3 and "nan.h5" in failure["message"], failure
assert records[phases.index("refusal")]["exit_code"] == 7
assert records[phases.index("note")]["message"] == "looked at it"
'
  run -0 audit verify ledger
}

@test "an intent that nothing closes is listed, and fails --strict" {
  make_clips
  audit log init ledger --keys keys -q >/dev/null
  distill pretrain -c model.yaml --data clips.h5 -o d.h5 --steps 100000 --ledger ledger --keys keys >/dev/null 2>&1 3>&- &
  for _ in $(seq 100); do
    [ "$(show | grep -c '"intent"')" = 0 ] || break
    sleep 0.05
  done
  kill -KILL $!
  ends $!
  run -0 audit verify ledger
  [[ $output == *"open intents (1):"*"0 distill pretrain"* ]]
  run -5 audit verify ledger --strict
}

@test "no checkpoint is no ledger: 3" {
  mkdir empty
  fails 3 "empty: no checkpoint: not a ledger" audit verify empty
  fails 3 "nowhere: no such folder" audit verify nowhere
  make_ledger
  rm ledger/checkpoint
  fails 3 "ledger: no checkpoint: not a ledger" audit verify ledger
  fails 3 "ledger: no checkpoint: not a ledger" audit report ledger -o x.html
  fixture capture other.h5
  fails 3 "no checkpoint" sparsify mask other.h5 --at /layers/0 -o y.h5 --ledger ledger --keys keys
  [ ! -e y.h5 ]
}

@test "a checkpoint that does not hold is said to be no root: 5" {
  make_ledger
  sed -i '1s/.*/example.org\/other/' ledger/checkpoint
  run -5 audit verify ledger
  [[ $output == *"NOT verified"*"log: its checkpoint does not hold"* ]]
}

@test "tampering of every kind is found: 5" {
  make_ledger
  cp -r ledger good
  entries=$(find good/tile/entries -type f | head -1)
  hashes=$(find good/tile/0 -type f | head -1)
  entries=${entries#good/} hashes=${hashes#good/}
  tampered() {
    echo "tampering: $1"
    run -5 audit verify ledger
    [[ $output == *"NOT verified"* ]]
    rm -r ledger
    cp -r good ledger
  }
  /usr/bin/python3 - "$entries" "$hashes" <<'PYTHON'
import base64, json, re, sys
entries, hashes = (f"good/{path}" for path in sys.argv[1:])
raw = open(entries, "rb").read()
parts, at = [], 0
while at < len(raw):
    size = int.from_bytes(raw[at:at + 2], "big")
    parts.append(raw[at + 2:at + 2 + size])
    at += 2 + size


def save(name, items):
    with open(name, "wb") as file:
        for item in items:
            file.write(len(item).to_bytes(2, "big") + item)


envelope = json.loads(parts[1])
record = json.loads(base64.b64decode(envelope["payload"]))
record["exit_code"] = 1
envelope["payload"] = base64.b64encode(json.dumps(record).encode()).decode()
save("changed", [parts[0], json.dumps(envelope).encode(), *parts[2:]])
save("reordered", [parts[1], parts[0], *parts[2:]])
save("dropped", parts[:2] + parts[3:])
save("cut", parts[:-1])
save("added", parts + parts[-1:])
flipped = bytearray(open(hashes, "rb").read())
flipped[40] ^= 1
open("hash", "wb").write(flipped)
note = open("good/checkpoint", encoding="utf-8").read().split("\n")
open("size", "w", encoding="utf-8").write("\n".join([note[0], str(int(note[1]) - 1), *note[2:]]))
root = base64.b64encode(bytes(32)).decode()
open("root", "w", encoding="utf-8").write("\n".join([*note[:2], root, *note[3:]]))
open("origin", "w", encoding="utf-8").write("\n".join(["example.org/other", *note[1:]]))
open("unsigned", "w", encoding="utf-8").write("\n".join(note[:4]) + "\n")
PYTHON
  cp changed "ledger/$entries"; tampered "an entry changed"
  cp reordered "ledger/$entries"; tampered "two entries exchanged"
  cp dropped "ledger/$entries"; tampered "an entry dropped from the middle"
  cp cut "ledger/$entries"; tampered "the last entry cut off"
  cp added "ledger/$entries"; tampered "an entry added"
  cp hash "ledger/$hashes"; tampered "a hash changed"
  cp size ledger/checkpoint; tampered "the tree's size changed"
  cp root ledger/checkpoint; tampered "the root changed"
  cp origin ledger/checkpoint; tampered "the origin changed"
  cp unsigned ledger/checkpoint; tampered "the signature taken away"
  rm "ledger/$entries"; tampered "a tile taken away"
  audit key new others --origin example.org/test -q >/dev/null
  cp others/log.pub ledger/log.pub; tampered "another log key in the folder"
  cp others/tool.pub ledger/tool.pub; tampered "another tool key in the folder"
  sparsify mask q.h5 --at /layers/0 --k 0.9 -o mask.h5 --force -q >/dev/null
  tampered "an output replaced outside the ledger"
  # A whole ledger by another hand verifies by itself, and not with the pinned key.
  rm -r ledger
  audit log init ledger --keys others -q >/dev/null
  run -0 audit verify ledger
  run -5 audit verify ledger --key keys/log.pub
  [[ $output == *"NOT verified"* ]]
}

@test "an input that changed between two runs is said, and fails --strict" {
  make_ledger
  fixture other-tokens q.h5
  recorded sparsify mask q.h5 --at /layers/0 -o later.h5 >/dev/null
  run -0 audit verify ledger
  [[ $output == *"changed outside the ledger (1):"*"../q.h5"* ]]
  run -5 audit verify ledger --strict
  rm later.h5
  run -0 audit verify ledger
  [[ $output == *"missing files (1):"* ]]
}

@test "openssl verifies the checkpoint's signature" {
  command -v openssl >/dev/null || skip "openssl(1) not found"
  make_ledger
  /usr/bin/python3 - <<'PYTHON'
import base64
note = open("ledger/checkpoint", "rb").read()
body, signatures = note.split(b"\n\n")
open("body", "wb").write(body + b"\n")
signature = base64.b64decode(signatures.split()[-1])
open("signature", "wb").write(signature[4:])
name, key_hash, key = open("ledger/log.pub", encoding="ascii").read().strip().split("+", 2)
raw = base64.b64decode(key)
assert raw[0] == 1 and len(raw) == 33 and signature[:4].hex() == key_hash
open("key.der", "wb").write(bytes.fromhex("302a300506032b6570032100") + raw[1:])
PYTHON
  verify() { openssl pkeyutl -verify -rawin -in "$1" -sigfile signature -pubin -inkey key.der -keyform DER; }
  run -0 verify body
  tr 0-9 1-90 <body >forged
  run -1 verify forged
  # And the private key that was written is what openssl takes it for.
  openssl pkey -in keys/log.key -noout -text | grep -q "ED25519 Private-Key"
  [ "$(stat -c %a keys/log.key)" = 600 ]
}

@test "keys are not overwritten, and not kept with the ledger" {
  audit key new keys -q >/dev/null
  fails 2 "exists; a key is never overwritten" audit key new keys
  fails 2 "inside the ledger; private keys do not belong" audit log init ledger --keys ledger/keys
  fails 2 "--keys: missing|--keys is needed" audit log init ledger
  audit log init ledger --keys keys -q >/dev/null
  fails 2 "ledger: a ledger exists there" audit log init ledger --keys keys
  fails 2 "--keys is needed to sign" sparsify sweep x --ledger ledger || fixture capture x
  fails 2 "--keys is needed to sign" sparsify sweep x --ledger ledger
  audit key new others -q >/dev/null
  fails 5 "." sparsify sweep x --ledger ledger --keys others
  echo garbage >keys/log.key
  fails 3 "keys/log.key: not an Ed25519 private key" sparsify sweep x --ledger ledger --keys keys
}

@test "four writers at once lose nothing" {
  fixture capture q.h5
  audit log init ledger --keys keys -q >/dev/null
  for i in 1 2 3 4; do
    (for j in 1 2 3 4 5; do
      recorded sparsify mask q.h5 --at /layers/0 -o "m$i$j.h5" >/dev/null || exit 1
    done) &
  done
  wait
  [ "$(show | /usr/bin/python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')" = 40 ]
  run -0 audit verify ledger --strict
}
