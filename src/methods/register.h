// The list of methods: one line each, and one include. The light program reads info() of each; the worker also make().
#pragma once
#include "methods/flatquant.h"
#include "methods/hadanorm.h"
#include "methods/quarot.h"
#include "methods/rtn.h"
#include "methods/smoothquant.h"
#include "methods/spinquant.h"
#include "methods/svdquant.h"
#include "methods/viditq.h"

namespace stamp {

template <class Visitor>
void for_each_method(Visitor&& visit) {
  visit.template operator()<Rtn>();
  visit.template operator()<SmoothQuant>();
  visit.template operator()<QuaRot>();
  visit.template operator()<SpinQuant>();
  visit.template operator()<FlatQuant>();
  visit.template operator()<SvdQuant>();
  visit.template operator()<ViDiTQ>();
  visit.template operator()<HadaNorm>();
}

}  // namespace stamp
