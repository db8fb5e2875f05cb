// SPDX-License-Identifier: Apache-2.0
// C2SP signed-note and tlog-checkpoint, and DSSE envelopes. Each parser accepts one form only, and
// nothing of a text is used before its signature has been checked.
#pragma once

#include <string>
#include <string_view>

#include "lib/ledger/key.h"
#include "lib/ledger/merkle.h"

namespace suffice {

struct LogCheckpoint {
  std::string origin;
  uint64_t size = 0;
  Hash root{};
};

// "ORIGIN\nSIZE\nBASE64(ROOT)\n\n— NAME BASE64(ID || SIGNATURE)\n"
std::string SignCheckpoint(const LogCheckpoint& checkpoint, const PrivateKey& log_key);
// Throws kCheckFailed, naming `source`, if the note is malformed or `key` did not sign it.
// Signatures of other keys are passed over, as signed-note asks.
LogCheckpoint OpenCheckpoint(std::string_view note, const PublicKey& key,
                             const std::string& source);

inline constexpr char kRecordPayloadType[] = "application/vnd.suffice.record.v1+json";

// {"payload":...,"payloadType":...,"signatures":[{"keyid":...,"sig":...}]}; the signature is over
// "DSSEv1 LEN TYPE LEN PAYLOAD".
std::string SignEnvelope(std::string_view payload, const PrivateKey& tool_key);
// The payload; throws kCheckFailed if malformed, of another type, or not signed by `key`.
std::string OpenEnvelope(std::string_view envelope, const PublicKey& key,
                         const std::string& source);

}  // namespace suffice
