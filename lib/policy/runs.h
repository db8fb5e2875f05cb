// SPDX-License-Identifier: Apache-2.0
// Runs files: what settings cost and how far they are from a reference, unit by unit.
//
// A unit is an independent draw of (condition, start frame, crop, t, noise seed) from the held-out
// part of a dataset. All settings share the units. `split` is a function of the unit's id alone.
//
// Encoding type runs:
//   /units/id         (U) u64     identity of the draw: its Philox index
//   /units/split      (U) u8      0 order, 1 test
//   /units/source     (U) i32     source of its footage; attribute held-out = 1
//   /units/start      (U) i32     first frame within the source's held-out part
//   /units/t          (U) f64     time of the flow
//   /settings/model   (S) strings content digest of the model file
//   /settings/yaml    (S) strings the setting, as YAML; its name is inside
//   /settings/density (S) f64     mean kept density over the units
//   /losses/NAME      (S, U) f64  in [0, 1]
//   /squares/reference  (U) f64     |u_d|^2 of the reference's velocity; both tables or none
//   /squares/difference (S, U) f64  |u - u_d|^2 of the setting's from it
//   /cost             (S, U) f64  in the unit of the attribute unit ("gflop")
//   /seconds          (S, U) f64  measured
//   attributes of "/": population, reference (content digest), joules = "unavailable"
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lib/io/tensor_file.h"
#include "lib/policy/setting.h"
#include "lib/stats/inference.h"

namespace suffice {

struct RunsUnit {
  uint64_t id = 0;
  int32_t source = 0;
  int32_t start = 0;
  double t = 0;
};
bool IsTestUnit(uint64_t id);  // half of all ids, by a hash

struct RunsColumn {
  std::string model;
  Setting setting;
  double density = 1;
  std::map<std::string, std::vector<double>> losses;  // name -> (U)
  std::vector<double> cost, seconds;                  // (U)
  std::vector<double> difference;                     // (U) |u - u_d|^2, or empty
};

struct Runs {
  std::vector<RunsUnit> units;
  std::vector<RunsColumn> columns;
  std::vector<double> energy;  // (U) |u_d|^2, or empty as every column's difference then is
  std::string population;
  std::string reference;  // content digest of the dense model
  std::string cost_unit = "gflop";

  std::vector<size_t> Split(bool test) const;  // indices of units
};

// RelativeError of a column; none without squares either.
std::optional<Estimate> RelativeErrorOf(const Runs& runs, const RunsColumn& column, uint64_t seed);

// True if a loss is 0 or 1 in every column: what is exact for a probability applies.
bool IsBinary(const Runs& runs, const std::string& loss);
// The mean of a column's loss: Clopper and Pearson's interval for a loss of 0 and 1, else
// LossInterval.
Estimate MeanLoss(const Runs& runs, const RunsColumn& column, const std::string& loss,
                  double confidence = 0.95);

void WriteRuns(const Runs& runs, TensorWriter* writer);
// Throws kData for a unit given twice or in the wrong split, a loss outside [0, 1], a square below
// 0, sizes that differ, two columns of one (model, setting).
Runs ReadRuns(const TensorReader& reader);

}  // namespace suffice
