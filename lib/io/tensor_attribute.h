// SPDX-License-Identifier: Apache-2.0
// Attributes and strings as they lie in the file. Internal to lib/io; callers hold an Hdf5Session.
#pragma once

#include <hdf5.h>

#include <span>
#include <string>
#include <string_view>

#include "lib/io/tensor_file.h"

namespace suffice {

// `where` names file and object in messages. Reading throws kData, writing kFailed.
AttributeValue ReadAttribute(hid_t object, const std::string& where, const std::string& name);
void WriteAttribute(hid_t object, const std::string& where, const std::string& name,
                    const AttributeValue& value);

// Strings side by side, each padded with NUL to the longest one's length (at least 1); and back.
std::string PadStrings(std::span<const std::string> strings, const std::string& where);
std::string UnpadString(std::string_view padded, const std::string& where);

}  // namespace suffice
