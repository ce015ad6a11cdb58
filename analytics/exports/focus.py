"""FOCUS-shaped cost and usage rows (FinOps Open Cost and Usage Specification 1.2 and 1.3, focus.finops.org).

One row per day, tenant, model and engine, and one per day for each kind of joule that no request was charged for (idle,
overhead, unattributed, jobs), so that the rows sum to the whole. All 21 columns that 1.2 makes mandatory are there, the
two that 1.3 adds to them, those that apply of the others, and ours with the prefix ``x_``. It is an internal
charge-back: the issuer is the house itself and there are no discounts, so that billed, effective, contracted and list
cost are one number.
"""

from datetime import datetime, timedelta
from importlib import resources
from typing import Any, Final

import pyarrow as pa

from analytics.metric import Queries, Window
from conventions.errors import SettingsError
from conventions.units import kilowatt_hours_from_joules

TIME: Final = pa.timestamp("us", tz="UTC")
MANDATORY: Final = pa.schema(
    [
        *(("BilledCost", pa.float64()), ("BillingAccountId", pa.string()), ("BillingAccountName", pa.string())),
        *(("BillingCurrency", pa.string()), ("BillingPeriodEnd", TIME), ("BillingPeriodStart", TIME)),
        *(("ChargeCategory", pa.string()), ("ChargeClass", pa.string()), ("ChargeDescription", pa.string())),
        *(("ChargePeriodEnd", TIME), ("ChargePeriodStart", TIME), ("ContractedCost", pa.float64())),
        *(("EffectiveCost", pa.float64()), ("InvoiceIssuerName", pa.string()), ("ListCost", pa.float64())),
        *(("PricingQuantity", pa.float64()), ("PricingUnit", pa.string()), ("ProviderName", pa.string())),
        *(("PublisherName", pa.string()), ("ServiceCategory", pa.string()), ("ServiceName", pa.string())),
        *(("ServiceProviderName", pa.string()), ("HostProviderName", pa.string())),
    ]
)
PROVIDERS: Final = ("ProviderName", "ServiceProviderName", "HostProviderName")  # 1.3 names the first in two columns
COLUMNS: Final = pa.schema(
    [
        *MANDATORY,
        *((f"CommitmentDiscount{name}", pa.string()) for name in ("Category", "Id", "Name", "Status", "Type")),
        *(("ListUnitPrice", pa.float64()), ("ContractedUnitPrice", pa.float64()), ("PricingCategory", pa.string())),
        *(("SkuPriceId", pa.string()), ("AvailabilityZone", pa.string())),
        *(("ChargeFrequency", pa.string()), ("ConsumedQuantity", pa.float64()), ("ConsumedUnit", pa.string())),
        *(("RegionId", pa.string()), ("RegionName", pa.string()), ("ResourceId", pa.string())),
        *(("ResourceName", pa.string()), ("ResourceType", pa.string()), ("ServiceSubcategory", pa.string())),
        *(("SkuId", pa.string()), ("SkuMeter", pa.string()), ("SubAccountId", pa.string())),
        *(("SubAccountName", pa.string()), ("Tags", pa.string())),
        *(("x_Part", pa.string()), ("x_Requests", pa.int64()), ("x_CostKnown", pa.bool_())),
        *(("x_CostEnergy", pa.float64()), ("x_CostDevice", pa.float64()), ("x_CostTokens", pa.float64())),
        *(("x_PriceSource", pa.string()), ("x_HardwareSource", pa.string())),
        *(("x_EnergyJoules", pa.float64()), ("x_EnergyQuality", pa.string())),
        *(("x_CarbonGrams", pa.float64()), ("x_EmbodiedCarbonGrams", pa.float64())),
        *(("x_CarbonFactor", pa.string()), ("x_CarbonBasis", pa.string()), ("x_CarbonEstimated", pa.bool_())),
    ]
)


def rows(reader: Queries, window: Window, account: str = "tokenjoule") -> pa.Table:
    """Rows of ``COLUMNS`` for whole and begun days of ``window``; ``account`` is the billing account and provider.

    Raises ``SettingsError`` where nothing in the window has a cost: FOCUS knows no unknown currency.
    """
    sql = resources.files(__package__).joinpath("focus.sql").read_text(encoding="utf-8")
    found = reader.query(sql, {"start": window.start.isoformat(), "end": window.end.isoformat()}).to_pylist()
    currencies = sorted({row["currency"] for row in found if row["currency"] is not None})
    if found and not currencies:
        raise SettingsError("nothing in this range has a cost: set [collector.prices] (docs/carbon.md)")
    return pa.Table.from_pylist([_row(row, window, account, currencies[0]) for row in found], schema=COLUMNS)


def _row(row: dict[str, Any], window: Window, account: str, currency: str) -> dict[str, Any]:
    cost = row["cost"] or 0.0
    serves = row["part"] == "requests"
    kwh = kilowatt_hours_from_joules(row["joules"] or 0.0)
    quantity, unit = (row["tokens"] or 0.0, "Tokens") if serves else (kwh, "kWh")
    sku = row["model"] if serves else row["part"]
    month = row["day"].replace(day=1)
    return (
        dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), cost)
        | dict.fromkeys(("BillingAccountId", "BillingAccountName", "InvoiceIssuerName", *PROVIDERS), account)
        | dict.fromkeys(("ListUnitPrice", "ContractedUnitPrice"), cost / quantity if quantity else None)
        | {
            "BillingCurrency": row["currency"] or currency,
            "BillingPeriodStart": month,
            "BillingPeriodEnd": (month + timedelta(days=32)).replace(day=1),
            "ChargeCategory": "Usage",
            "ChargeDescription": _description(row),
            "ChargePeriodStart": max(row["day"], window.start),
            "ChargePeriodEnd": min(row["day"] + timedelta(days=1), window.end),
            "PricingQuantity": quantity,
            "PricingUnit": unit,
            "ConsumedQuantity": quantity,
            "ConsumedUnit": unit,
            "PublisherName": "tokenjoule",
            "ServiceCategory": "AI and Machine Learning",
            "ServiceSubcategory": "Generative AI",
            "ServiceName": "LLM inference",
            "ChargeFrequency": "Usage-Based",
            "RegionId": row["region"],
            "RegionName": row["region"],
            "ResourceId": row["engine"],
            "ResourceName": row["engine"],
            "ResourceType": "Inference engine" if row["engine"] else None,
            "SkuId": sku,
            "SkuPriceId": sku,
            "PricingCategory": "Standard",
            "SkuMeter": "Output tokens" if serves else "Energy",
            "SubAccountId": row["tenant"],
            "SubAccountName": row["tenant"],
            "Tags": "{}",
        }
        | _own(row)
    )


def _own(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "x_Part": row["part"],
        "x_Requests": row["requests"],
        "x_CostKnown": row["cost"] is not None,
        "x_CostEnergy": row["cost_energy"],
        "x_CostDevice": row["cost_device"],
        "x_CostTokens": row["cost_tokens"],
        "x_PriceSource": row["price_source"],
        "x_HardwareSource": row["hardware_source"],
        "x_EnergyJoules": row["joules"],
        "x_EnergyQuality": row["quality"],
        "x_CarbonGrams": row["co2e_g"],
        "x_EmbodiedCarbonGrams": row["co2e_embodied_g"],
        "x_CarbonFactor": row["factor"],
        "x_CarbonBasis": row["grid_basis"],
        "x_CarbonEstimated": row["factor_estimated"],
    }


def _description(row: dict[str, Any]) -> str:
    if row["part"] != "requests":
        return f"{row['part']} energy and device time"
    return f"{row['requests']} requests to {row['model'] or 'an unknown model'}"


def as_text(table: pa.Table) -> pa.Table:
    """The rows with times as FOCUS writes them in CSV (``2026-11-21T00:00:00Z``)."""
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            told = [_utc(moment) for moment in table.column(place).to_pylist()]
            table = table.set_column(place, field.name, pa.array(told, pa.string()))
    return table


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
