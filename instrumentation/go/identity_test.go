package spandrel

import (
	"errors"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
)

func TestHeaderHoldsWhatIdentifiesTheProcessAndNothingElse(t *testing.T) {
	header, err := processHeader(resource.NewSchemaless(
		attribute.String("service.name", "shop"),
		attribute.String("service.instance.id", "shop-1"),
		attribute.String("service.version", "2"),
		attribute.String("host.name", ""),
		attribute.Int("process.pid", 77),
		attribute.StringSlice("process.creation.time", []string{"now"}),
	))
	if want := "service.name=shop,service.instance.id=shop-1,process.pid=77"; err != nil || header != want {
		t.Errorf("got %q, %v, want %q", header, err, want)
	}
}

func TestHeaderEscapesWhatWouldEndAValue(t *testing.T) {
	header, err := processHeader(resource.NewSchemaless(attribute.String("service.name", "a,b=c 100%\r\n\u00e9")))
	if want := "service.name=a%2Cb=c%20100%25%0D%0A%C3%A9"; err != nil || header != want {
		t.Errorf("got %q, %v, want %q", header, err, want)
	}
}

func TestAResourceWithoutAServiceNameIsAnError(t *testing.T) {
	for _, process := range []*resource.Resource{
		resource.Empty(),
		nil,
		resource.NewSchemaless(attribute.String("service.name", ""), attribute.String("host.name", "a")),
	} {
		if header, err := processHeader(process); !errors.Is(err, errNoServiceName) {
			t.Errorf("%v: got %q, %v", process, header, err)
		}
	}
}
