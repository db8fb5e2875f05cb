// SPDX-License-Identifier: Apache-2.0
// What calibrate select decides and generate obeys: a ladder of rungs, cheapest first, each a model
// file by content digest and a setting; the last rung is the dense model. Written and read as YAML.
#pragma once

#include <string>
#include <vector>

#include "lib/policy/setting.h"

namespace suffice {

struct Rung {
  std::string model;  // content digest
  Setting setting;
  double cost = 0;  // mean over the order split, in the runs file's unit of cost
  bool certified = false;
};
void Visit(Fields& f, Rung& c);

// One hypothesis test, in the order in which it was made.
struct Evidence {
  std::string model;
  std::string setting;
  double cost = 0;
  double mean_loss = 0;
  double p_value = 1;
  bool certified = false;
};
void Visit(Fields& f, Evidence& c);

struct Selection {
  std::string runs;        // content digest of the runs file
  std::string population;  // of what the guarantee speaks, in words
  std::string guarantee;   // the statement, in words; empty if nothing was certified
  std::string loss;
  std::string p_value;  // binomial, hoeffding_bentkus
  double alpha = 0.1;
  double delta = 0.1;
  int64_t n = 0;  // units of the test split
  std::vector<Rung> rungs;
  std::vector<Evidence> evidence;
};
void Visit(Fields& f, Selection& c);

Selection ReadSelection(const std::string& path);  // kData if it is not one

}  // namespace suffice
