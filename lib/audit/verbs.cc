// SPDX-License-Identifier: Apache-2.0
#include "lib/audit/verbs.h"

namespace suffice::audit {
namespace {

using enum ArgumentKind;

VerbInfo LogInfo() {
  VerbInfo info{
      .tool = "audit", .name = "log", .summary = "make a ledger, list its records, or add a note"};
  info.description =
      "ACTION init makes an empty ledger, and its keys if the key folder has none; show prints one "
      "line\n"
      "a record; note adds --message as a record of its own.";
  info.arguments = {{"action", "", kText, true, false, "init, show or note"},
                    {"folder", "", kFolder, true, false, "the ledger"},
                    {"origin", "--origin", kText, false, false, "name of a new log (init)"},
                    {"message", "--message", kText, false, false, "text of the note"}};
  info.examples = {{"audit log init ledger/ --keys keys/", "a new ledger, its keys outside it"},
                   {"audit log show ledger/", "what it says"}};
  info.has_config = false;
  return info;
}

VerbInfo KeyInfo() {
  VerbInfo info{.tool = "audit",
                .name = "key",
                .summary = "make the keys of a ledger, or print the public ones"};
  info.arguments = {
      {"action", "", kText, true, false, "new or show"},
      {"folder", "", kFolder, true, false, "the key folder"},
      {"origin", "--origin", kText, false, false, "name of the log the keys are for (new)"}};
  info.examples = {
      {"audit key new keys/ --origin example.org/renders", "two Ed25519 key pairs: log and tool"},
      {"audit key show keys/", "the verifier keys, to pin"}};
  info.has_config = false;
  return info;
}

VerbInfo VerifyInfo() {
  VerbInfo info{
      .tool = "audit", .name = "verify", .summary = "check a ledger and the files it speaks of"};
  info.description =
      "Checks signatures, tiles, root, the pairing of intents and results, and for each path the "
      "newest\n"
      "record's digest. Without --key the ledger's own public key is used, and the output says "
      "so.\n"
      "Missing files and open intents are listed; with --strict they fail the check. Exit status 5 "
      "when\n"
      "anything contradicts, 3 when the folder has no checkpoint.";
  info.arguments = {
      {"folder", "", kFolder, true, false, "the ledger"},
      {"key", "--key", kInput, false, false, "pinned verifier key of the log"},
      {"tool-key", "--tool-key", kInput, false, false, "pinned verifier key of the tool"},
      {"strict", "--strict", kSwitch, false, false, "missing files and open intents fail"}};
  info.examples = {
      {"audit verify ledger/", "check what can be checked from the folder"},
      {"audit verify ledger/ --key log.pub --strict", "with a pinned key, nothing missing"}};
  info.has_config = false;
  return info;
}

VerbInfo ReportInfo() {
  VerbInfo info{
      .tool = "audit", .name = "report", .summary = "one self-contained HTML page of a ledger"};
  info.description =
      "Verification first, then what ran and what it cost, the loss curves of trainings, the "
      "frontier of the\n"
      "newest runs file and the pictures that were exported. The page loads nothing from "
      "elsewhere.";
  info.arguments = {
      {"folder", "", kFolder, true, false, "the ledger"},
      Streamed({"output", "-o,--output", kOutput, true, false, "the page; - is stdout"}),
      {"key", "--key", kInput, false, false, "pinned verifier key of the log"}};
  info.examples = {{"audit report ledger/ -o report.html", "the page to send along"}};
  info.has_config = false;
  return info;
}

}  // namespace

std::vector<Verb> Verbs() {
  return {MakeVerb(LogInfo(), &Log), MakeVerb(KeyInfo(), &Key), MakeVerb(VerifyInfo(), &Verify),
          MakeVerb(ReportInfo(), &MakeReport)};
}

}  // namespace suffice::audit
