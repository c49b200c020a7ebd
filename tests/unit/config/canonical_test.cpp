#include "base/sha256.h"
#include "config/newer.h"
#include "fixture.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::testing;

namespace {

TrialSpec trial(const std::string& text) {
  return apply(read(text), {});
}
std::string id(const std::string& text) {
  return trial_id(trial(text), catalog());
}
Json canon(const std::string& text) {
  return canonical(trial(text), catalog());
}

bool holds(const Json& json, const std::string& pointer) {
  return json.contains(Json::json_pointer(pointer));
}

}  // namespace

TEST_CASE("the canonical text of one trial is pinned: a change here changes every id") {
  const Json json = canon(
      "model: {path: /somewhere/SmolLM2-135M.gguf}\nquantization: {method: smoothquant, sequence: {levels: 5}}\n");
  CHECK(
      json.dump() ==
      R"({"schema":1,"model":{"name":"SmolLM2-135M"},"data":{"text":"wikitext2-test","context":2048,"windows":0,"bos":"start"},)"
      R"("calibration":{"text":"wikitext2-train","context":2048,"samples":16,"select":"random","seed":0},)"
      R"("quantization":{"method":"smoothquant","smoothquant":{"alpha":0.5},)"
      R"("weights":{"bits":4,"quantizer":"rtn","granularity":"channel","symmetric":true,"clip_search":true},)"
      R"("activations":{"bits":4,"granularity":"token","symmetric":false,"clip":1},)"
      R"("kv_cache":{"bits":4,"granularity":"head","symmetric":false,"clip":1,"transformed":true},)"
      R"("sequence":{"transform":"haar","skip_first":1,"levels":5},)"
      R"("allocation":{"kind":"two_level","high_bits":8,"high_tokens":64,"pick":"first"}},)"
      R"("evaluate":["perplexity","slot_error"],"repeat":0})");
  const std::string pinned =
      id("model: {path: /somewhere/SmolLM2-135M.gguf}\nquantization: {method: smoothquant, sequence: {levels: 5}}\n");
  CHECK(pinned == sha256_hex(json.dump()).substr(0, 12));
  CHECK(pinned == "35df0d7ea7bd");
}

TEST_CASE("key order, comments, spelled-out defaults and number spellings do not change an id") {
  const std::string plain = id("model: {path: a.gguf}\n");
  CHECK(id("schema: 1\nname: other\n# words\nmodel:\n  path: a.gguf   # more\n") == plain);
  CHECK(id("evaluate: [slot_error, perplexity]\nquantization: {activations: {clip: 1, bits: 4}, weights: {bits: "
           "4}}\nmodel: {path: a.gguf}\n") == plain);
  CHECK(id("model: {path: a.gguf}\nquantization: {activations: {clip: 1.0}, sequence: {levels: auto, skip_first: "
           "1}}\n") == plain);
  CHECK(id("model: {path: elsewhere/a.gguf}\n") == plain);  // where files lie is not part of a trial
  CHECK(id("model: {path: b.gguf, name: a}\n") == plain);
  CHECK(id("model: {path: b.gguf}\n") != plain);
  CHECK(id("model: {path: a.gguf}\ntable: {value: x}\nsweep: {repeats: 2}\n") == plain);
}

TEST_CASE("every hashed setting that matters changes the id") {
  // Two bases, so that conditional settings matter in one of them.
  for (const char* base :
       {"model: {path: a.gguf}\nquantization: {method: smoothquant, sequence: {transform: haar}}\n",
        "model: {path: a.gguf}\nquantization: {weights: {granularity: group, quantizer: gptq}, "
        "activations: {granularity: group}, sequence: {transform: coarse}, allocation: {kind: optimal}}\n",
        "model: {path: a.gguf}\nquantization: {method: quarot, sequence: {transform: klt}}\n"}) {
    const TrialSpec t = trial(base);
    const std::string before = trial_id(t, schema());
    for (const Field& field : schema().fields()) {
      if (!field.get(t)) continue;
      TrialSpec changed = t;
      const Json held = *field.get(t);
      Json other;
      switch (field.type) {
        case Field::Type::boolean: other = held.is_boolean() ? !held.get<bool>() : true; break;
        case Field::Type::integer: other = held.is_number() ? held.get<std::int64_t>() + 1 : std::int64_t{2}; break;
        case Field::Type::real: other = field.numbers.empty() ? Json(*field.max * 0.75) : Json(3); break;
        case Field::Type::choice:
          other = held == field.choices.front() ? field.choices.back() : field.choices.front();
          break;
        case Field::Type::names: other = Json::array({"perplexity"}); break;
        default: other = "other.txt"; break;
      }
      field.set(changed, other);
      INFO(base << field.path << " = " << other.dump());
      CHECK((trial_id(changed, schema()) != before) == (field.hashed && field.matters(t)));
    }
    TrialSpec repeated = t;
    repeated.repeat = 1;
    CHECK(trial_id(repeated, schema()) != before);
  }
}

TEST_CASE("how to run a trial is no part of its id and travels beside its paths") {
  const std::string plain = id("model: {path: a.gguf}\n");
  CHECK(id("model: {path: a.gguf, streamed: true, rows_memory_gb: 0.5}\n") == plain);
  const TrialSpec streamed = trial("model: {path: a.gguf, streamed: false, rows_memory_gb: 0.5}\n");
  Json full = with_paths(streamed, schema());
  CHECK(full["paths"]["model.streamed"] == false);
  const TrialSpec read = trial_from_json(full, schema());
  CHECK(read.model.streamed == false);
  CHECK(read.model.rows_memory_gb == 0.5);
  CHECK_FALSE(with_paths(trial("model: {path: a.gguf}\n"), schema())["paths"].contains("model.streamed"));
  CHECK_FALSE(trial_from_json(with_paths(trial("model: {path: a.gguf}\n"), schema()), schema()).model.streamed);
  full["paths"]["model.streamed"] = "maybe";
  CHECK_THROWS_AS(trial_from_json(full, schema()), ConfigError);
}

TEST_CASE("settings that cannot matter are not in the text") {
  const std::string model = "model: {path: a.gguf}\n";
  const Json identity = canon(
      model +
      "quantization: {sequence: {transform: identity, skip_first: 4, levels: 3}, kv_cache: {transformed: false}}\n");
  CHECK(identity["quantization"]["sequence"] == Json({{"transform", "identity"}}));
  CHECK_FALSE(holds(identity, "/quantization/kv_cache/transformed"));
  CHECK(holds(identity, "/quantization/kv_cache/bits"));

  const Json no_cache =
      canon(model + "quantization: {kv_cache: {bits: 16, clip: 0.9, symmetric: true, granularity: token}}\n");
  CHECK(no_cache["quantization"]["kv_cache"] == Json({{"bits", 16}}));
  CHECK(no_cache["quantization"]["sequence"]["transform"] == "haar");

  const Json no_weights =
      canon(model + "quantization: {weights: {bits: 16, quantizer: gptq, damping: 0.1, clip_search: false}}\n");
  CHECK(no_weights["quantization"]["weights"] == Json({{"bits", 16}}));
  CHECK_FALSE(no_weights.contains("calibration"));  // gptq is off

  const Json no_activations = canon(model + "quantization: {activations: {bits: 16, clip: 0.5}}\n");
  CHECK(no_activations["quantization"]["activations"] == Json({{"bits", 16}}));
  CHECK(no_activations["quantization"]["sequence"]["transform"] == "haar");  // the caches use it
  const Json cache_untransformed =
      canon(model + "quantization: {activations: {bits: 16}, kv_cache: {transformed: false}}\n");
  CHECK_FALSE(holds(cache_untransformed, "/quantization/sequence"));
  CHECK(holds(cache_untransformed, "/quantization/allocation/kind"));

  const Json off = canon(model +
                         "quantization: {weights: {bits: 16}, activations: {bits: 16}, kv_cache: {bits: 16}, sequence: "
                         "{transform: klt}, allocation: {kind: optimal}}\n");
  CHECK_FALSE(holds(off, "/quantization/sequence"));
  CHECK_FALSE(holds(off, "/quantization/allocation"));
  CHECK_FALSE(off.contains("calibration"));

  CHECK_FALSE(holds(canon(model + "quantization: {weights: {group_size: 32}}\n"), "/quantization/weights/group_size"));
  CHECK(holds(canon(model + "quantization: {weights: {group_size: 32, granularity: group}}\n"),
              "/quantization/weights/group_size"));
  CHECK_FALSE(
      holds(canon(model + "quantization: {activations: {group_size: 32}}\n"), "/quantization/activations/group_size"));
  CHECK(holds(canon(model + "quantization: {activations: {group_size: 32, granularity: group}}\n"),
              "/quantization/activations/group_size"));
}

TEST_CASE("calibration counts only where something needs it") {
  const auto calibrated = [](const std::string& quantization) {
    return canon("model: {path: a.gguf}\nquantization: " + quantization + "\n").contains("calibration");
  };
  CHECK_FALSE(calibrated("{method: rtn}"));
  CHECK(calibrated("{method: smoothquant}"));
  CHECK(calibrated("{sequence: {transform: klt}}"));
  CHECK(calibrated("{weights: {quantizer: gptq}}"));
  CHECK(calibrated("{allocation: {kind: optimal}}"));
  CHECK(calibrated("{allocation: {kind: two_level, pick: energy}}"));
  CHECK_FALSE(calibrated("{allocation: {kind: two_level, pick: magnitude}}"));
  CHECK_FALSE(calibrated("{allocation: {kind: uniform}}"));
  const Json head =
      canon("model: {path: a.gguf}\ncalibration: {select: head, seed: 9}\nquantization: {method: smoothquant}\n");
  CHECK_FALSE(holds(head, "/calibration/seed"));
}

TEST_CASE("a setting that came later leaves the ids of trials that do not use it") {
  const std::string base = "model: {path: a.gguf}\nquantization: {method: quarot, activations: {";
  CHECK(id(base + "shift: none}}\n") == id(base + "bits: 4}}\n"));
  CHECK_FALSE(holds(canon(base + "shift: none}}\n"), "/quantization/activations/shift"));
  CHECK(holds(canon(base + "shift: sequence}}\n"), "/quantization/activations/shift"));
  CHECK(id(base + "shift: sequence}}\n") != id(base + "shift: calibrated}}\n"));
  CHECK(canon(base + "shift: calibrated}}\n").contains("calibration"));
  CHECK_FALSE(canon(base + "shift: sequence}}\n").contains("calibration"));
  CHECK_FALSE(canon(base + "shift: calibrated, bits: 16}}\n").contains("calibration"));
  // A method that takes the mean off itself has no use for it.
  TrialSpec centred = trial(base + "shift: calibrated}}\n"), plain = trial(base + "shift: none}}\n");
  centred.quantization.method = plain.quantization.method = "hadanorm";
  CHECK(trial_id(centred, schema()) == trial_id(plain, schema()));
  for (const Field& field : schema().fields()) {
    INFO(field.path);
    const std::optional<Json> newer = newer_default(field.path);
    CHECK(newer.has_value() == (field.path == "quantization.activations.shift"));
    if (newer) CHECK(*newer == field.fallback);
  }
}

TEST_CASE("skipped tokens count without a transform where a mean leaves them out") {
  const std::string base = "model: {path: a.gguf}\nquantization: {sequence: {transform: identity, skip_first: ";
  CHECK(id(base + "1}}\n") == id(base + "4}}\n"));
  const std::string shifted = "}, activations: {shift: calibrated}}\n";
  CHECK(id(base + "1" + shifted) != id(base + "4" + shifted));
  CHECK(trial_from_json(canon(base + "4" + shifted), schema()).quantization.sequence.skip_first == 4);
}

TEST_CASE("a text given by path counts by its name") {
  const Json a = canon("model: {path: a.gguf}\ndata: {text: one/place/my.raw}\n");
  CHECK(a["data"]["text"] == "my.raw");
  CHECK(id("model: {path: a.gguf}\ndata: {text: one/my.raw}\n") ==
        id("model: {path: a.gguf}\ndata: {text: two/my.raw}\n"));
  CHECK(id("model: {path: a.gguf}\ndata: {text: one/my.raw}\n") !=
        id("model: {path: a.gguf}\ndata: {text: one/your.raw}\n"));
}

TEST_CASE("trial_from_json is the inverse of canonical") {
  for (const char* text :
       {"model: {path: a.gguf}\n", "model: {path: a.gguf}\ndata: {text: dir/noextension, windows: 3}\n",
        "model: {path: a.gguf}\nquantization: {method: quarot, quarot: {seed: 3}, weights: {bits: 16}, kv_cache: "
        "{bits: 16}}\n",
        "model: {path: a.gguf}\nquantization: {method: smoothquant, smoothquant: {alpha: 0.85}, sequence: {transform: "
        "klt}}\n",
        "model: {path: a.gguf}\nquantization: {weights: {quantizer: gptq, damping: 0.02, granularity: group, "
        "group_size: 32}}\n",
        "model: {path: a.gguf}\nquantization: {activations: {clip: 0.1}, sequence: {transform: coarse, levels: 3, "
        "skip_first: 4}}\n",
        "model: {path: a.gguf}\nquantization: {sequence: {transform: identity}, allocation: {kind: optimal, "
        "average_bits: 4.5}}\n",
        "model: {path: a.gguf}\nquantization: {activations: {shift: calibrated}}\n",
        "model: {path: a.gguf}\nevaluate: [slot_error]\ncalibration: {select: head, samples: 4}\nquantization: "
        "{method: smoothquant}\n"}) {
    INFO(text);
    TrialSpec t = trial(text);
    t.repeat = 2;
    const Json json = canonical(t, catalog());
    const TrialSpec back = trial_from_json(Json::parse(json.dump()), catalog());
    CHECK(canonical(back, catalog()) == json);
    CHECK(trial_id(back, catalog()) == trial_id(t, catalog()));
    CHECK(back.model.path.empty());
    CHECK(back.repeat == 2);

    const Json beside = with_paths(t, schema());
    const TrialSpec runnable = trial_from_json(Json::parse(beside.dump()), catalog());
    CHECK(runnable.model.path == t.model.path);
    CHECK(runnable.data.text == t.data.text);
    CHECK(canonical(runnable, catalog()) == json);
    CHECK(with_paths(runnable, schema()) == beside);
    // All that the trial says where it matters is back, plugin options complete.
    for (const Field& field : schema().fields()) {
      if (field.matters(t) && field.get(t)) CHECK(field.get(runnable) == field.get(t));
    }
    CHECK(runnable.quantization.allocation.options == t.quantization.allocation.options);
  }
}

TEST_CASE("a damaged trial is a ConfigError with all its faults") {
  const Json good = canon("model: {path: a.gguf}\n");
  const auto message = [](const Json& json) {
    try {
      trial_from_json(json, catalog());
    } catch (const ConfigError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(message(good).empty());
  CHECK_FALSE(message(Json::array()).empty());
  CHECK_FALSE(message(Json()).empty());
  Json bad = good;
  bad["quantization"]["weights"]["bits"] = "4";
  bad["quantization"]["sequence"]["leevls"] = 3;
  bad["schema"] = 7;
  bad["repeat"] = -1;
  bad["data"] = 3;
  bad["paths"] = "x";
  const std::string all = message(bad);
  for (const char* part :
       {"trial: quantization.weights.bits: the text \"4\"",
        "trial: quantization.sequence.leevls: unknown key (did you mean \"levels\"?)", "trial: schema: 7",
        "trial: repeat: -1", "trial: data: unknown key", "trial: paths: not a map"}) {
    INFO(part << "\n" << all);
    CHECK(all.find(part) != std::string::npos);
  }
  Json idle = good;
  idle["quantization"]["smoothquant"]["alpha"] = 0.5;
  CHECK(message(idle).find("a plugin that the trial does not use") != std::string::npos);
}
