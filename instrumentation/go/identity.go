package spandrel

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
)

// resourceHeader names the process that a trace comes from: key=value, separated by commas, the values percent-encoded.
const resourceHeader = "X-Spandrel-Resource"

const serviceNameKey = attribute.Key("service.name")

// identifyingKeys are the resource attributes that Spandrel tells processes apart by.
var identifyingKeys = [...]attribute.Key{
	serviceNameKey,
	"service.instance.id",
	"host.name",
	"process.pid",
	"process.creation.time",
}

var errNoServiceName = errors.New("the resource of the spans has no service.name, set OTEL_SERVICE_NAME or give the tracer provider a resource with it")

// processHeader returns the value of [resourceHeader] for a process whose spans have this resource.
func processHeader(of *resource.Resource) (string, error) {
	var pairs []string
	for _, key := range identifyingKeys {
		value, _ := of.Set().Value(key)
		if text := valueText(value); text != "" {
			pairs = append(pairs, string(key)+"="+url.PathEscape(text))
		} else if key == serviceNameKey {
			return "", errNoServiceName
		}
	}
	return strings.Join(pairs, ","), nil
}

// valueText is empty for values of types that identify nothing.
func valueText(value attribute.Value) string {
	switch value.Type() {
	case attribute.STRING:
		return value.AsString()
	case attribute.INT64:
		return strconv.FormatInt(value.AsInt64(), 10)
	default:
		return ""
	}
}
