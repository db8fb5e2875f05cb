// SPDX-License-Identifier: Apache-2.0
#include "lib/audit/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "lib/audit/html.h"
#include "lib/audit/plot.h"
#include "lib/base/digest.h"
#include "lib/base/error.h"
#include "lib/io/text_file.h"
#include "lib/policy/loss_curve.h"

namespace suffice::audit {
namespace {

bool Trains(const Record& r) {
  return r.closes() && r.tool == "distill" &&
         (r.verb == "pretrain" || r.verb == "sparse" || r.verb == "classify");
}

const FileRef* OutputOf(const Record& record, const std::string& role) {
  const auto found = std::find_if(record.outputs.begin(), record.outputs.end(),
                                  [&](const FileRef& file) { return file.role == role; });
  return found == record.outputs.end() ? nullptr : &*found;
}

// Throws with the reason when the record names no curve, or the file is not the one it names.
std::vector<LossPoint> CurveOf(const std::string& folder, const Record& record) {
  const FileRef* file = OutputOf(record, "curve");
  if (file == nullptr && record.phase != "result")
    throw DataError("ended with {} ({}), before there was one", record.phase, record.exit_code);
  if (file == nullptr) throw DataError("was not asked for (--curve)");
  const std::string place = (std::filesystem::path(folder) / file->path).string();
  if (!std::filesystem::exists(place)) throw DataError("{} is missing", file->path);
  const std::string text = ReadText(place);
  const std::string digest = Hex(Sha256Of(text));
  if (digest != file->digest) {
    throw DataError("{} is not the file of the record, which says {}, found {}", file->path,
                    file->digest.substr(0, 16), digest.substr(0, 16));
  }
  std::vector<LossPoint> curve = ParseCurve(text, file->path);
  std::erase_if(curve, [](const LossPoint& p) { return !std::isfinite(p.loss); });
  if (curve.empty()) throw DataError("{} has no steps", file->path);
  return curve;
}

// "0.133 [0.086, 0.180]" as the fact of a training says it.
std::vector<PlotLevel> HeldOut(const Record& record) {
  const auto fact = record.facts.find("held-out loss");
  PlotLevel level;
  if (fact == record.facts.end() ||
      std::sscanf(fact->second.c_str(), "%lf [%lf, %lf]", &level.y, &level.low, &level.high) != 3 ||
      !std::isfinite(level.y + level.low + level.high)) {
    return {};
  }
  level.label = fmt::format("held out: {:.3g}", level.y);
  return {level};
}

// The number by which the report lists a run: its intent's.
uint64_t Listed(const Record& closing, const std::vector<Record>& records) {
  const auto intent = std::find_if(records.begin(), records.end(), [&](const Record& r) {
    return r.phase == "intent" && r.run_id == closing.run_id;
  });
  return intent == records.end() ? closing.seq : intent->seq;
}

std::string Draw(const std::vector<LossPoint>& curve, const Record& record) {
  std::vector<double> steps, losses;
  for (const LossPoint& p : curve) {
    steps.push_back(static_cast<double>(p.step));
    losses.push_back(p.loss);
  }
  const std::vector<PlotLevel> held_out = HeldOut(record);
  // Noise hides the course of a long curve.
  const size_t window = curve.size() < 50 ? 1 : std::max<size_t>(10, curve.size() / 50);
  std::string text = fmt::format("{} steps, last loss {:.4g}", curve.size(), losses.back());
  if (window > 1) text += fmt::format("; in blue the mean of the last {} steps", window);
  if (!held_out.empty()) {
    text += "; dashed the loss on held-out draws after training, with its 95 % interval: " +
            record.facts.at("held-out loss");
  }
  return LinePlot(steps, losses, window, held_out, "step", "loss") + "<p>" + Escape(text) +
         "</p>\n";
}

}  // namespace

std::string LossCurves(const std::string& folder, const std::vector<Record>& records) {
  std::string html;
  for (const Record& record : records) {
    if (!Trains(record)) continue;
    const FileRef* model = OutputOf(record, "output");
    html +=
        "<h3>" +
        Escape(fmt::format("{} {}{} (record {})", record.tool, record.verb,
                           model == nullptr ? "" : ": " + model->path, Listed(record, records))) +
        "</h3>\n";
    try {
      html += Draw(CurveOf(folder, record), record);
    } catch (const Error& e) {
      html += "<p class=\"absent\">No loss curve: " + Escape(e.what()) + "</p>\n";
    }
  }
  return html;
}

}  // namespace suffice::audit
