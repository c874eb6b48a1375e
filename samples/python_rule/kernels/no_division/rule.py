"""A rule: two functions that get the dispatch as data (`site.dispatch`) and as MLIR operations (`site.function`)."""

from iree.compiler import ir


def applies(site):
    """Return an empty text if the rule applies, else why not: `iree-substitute explain` shows it."""
    return "" if divisions(site) else "no division by a constant"


def rewrite(site):
    """Change the body. Afterwards the dispatch is read again, and kernels may take its new computation."""
    for operation in divisions(site):
        value, divisor = operation.operands
        reciprocal = 1.0 / number(divisor)
        with operation.location, ir.InsertionPoint(operation):
            factor = ir.Operation.create(
                "arith.constant", results=[value.type], attributes={"value": ir.FloatAttr.get(value.type, reciprocal)}
            )
            product = ir.Operation.create("arith.mulf", results=[value.type], operands=[value, factor.result])
        operation.results[0].replace_all_uses_with(product.result)
        operation.erase()


def divisions(site):
    found = []

    def look(op):
        if op.name == "arith.divf" and number(op.operands[1]) not in (None, 0.0):
            found.append(op.operation)
        return ir.WalkResult.ADVANCE

    if site.function is not None:
        site.function.walk(look)
    return found


def number(value):
    """Return the number of a constant value, else None."""
    if isinstance(value, ir.BlockArgument) or value.owner.name != "arith.constant":
        return None
    attribute = value.owner.attributes["value"]
    return ir.FloatAttr(attribute).value if isinstance(attribute, ir.FloatAttr) else None
