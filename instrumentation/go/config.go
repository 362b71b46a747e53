package spandrel

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"
)

const (
	defaultEndpoint    = "http://localhost:4318"
	defaultPath        = "/v1/runtime-profiles"
	defaultWindow      = 10 * time.Second
	defaultMaxBytes    = 16 << 20
	defaultSlowAfter   = time.Second
	defaultPushTimeout = 30 * time.Second
	leastInterval      = time.Second
)

// RecorderConfig says what a [Recorder] keeps, which spans make it take a snapshot, and where it sends that. The zero value
// is a good start.
type RecorderConfig struct {
	// Endpoint is the URL of Spandrel's OTLP/HTTP port. Without a path it means /v1/runtime-profiles there. Default:
	// http://localhost:4318.
	Endpoint string

	// Client sends the snapshots; set it for TLS settings or authentication. It should not be instrumented. Default: a
	// client of its own.
	Client *http.Client

	// Window is how far back a snapshot reaches, if MaxBytes allows. Default: 10 s.
	Window time.Duration

	// MaxBytes is the memory that the runtime may use for the window, a hint to the runtime. When a busy process fills
	// it sooner, the window is shorter. A compressed snapshot larger than this is dropped. Default: 16 MiB.
	MaxBytes int

	// SlowAfter is the duration from which a sampled span without a parent in this process makes a snapshot. Negative:
	// none does. Default: 1 s.
	SlowAfter time.Duration

	// SlowAfterByName is the same for spans with these names, with a parent or without; 0 and less: never. Give 0 to
	// spans that are long by nature, such as those of streams.
	SlowAfterByName map[string]time.Duration

	// MinInterval is the time from one snapshot to the next, at least 1 s. What is asked for earlier is put off, not
	// dropped. Default: half of Window, so that a span of up to that length is still in the window when its turn comes.
	MinInterval time.Duration

	// PushTimeout is the time that sending a snapshot may take, with all attempts. Default: 30 s.
	PushTimeout time.Duration
}

func (c RecorderConfig) withDefaults() (RecorderConfig, *url.URL, error) {
	setDefault(&c.Endpoint, defaultEndpoint)
	setDefault(&c.Window, defaultWindow)
	setDefault(&c.MaxBytes, defaultMaxBytes)
	setDefault(&c.SlowAfter, defaultSlowAfter)
	setDefault(&c.MinInterval, max(c.Window/2, leastInterval))
	setDefault(&c.PushTimeout, defaultPushTimeout)
	c.SlowAfterByName = maps.Clone(c.SlowAfterByName)
	if c.Client == nil {
		// Snapshots are rare: a connection that waits for the next would only have to be closed at the end.
		c.Client = &http.Client{Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			DisableKeepAlives: true,
		}}
	}
	switch {
	case c.Window < 0:
		return c, nil, fmt.Errorf("spandrel: Window is %v, expected more than 0", c.Window)
	case c.MaxBytes < 0:
		return c, nil, fmt.Errorf("spandrel: MaxBytes is %d, expected more than 0", c.MaxBytes)
	case c.MinInterval < leastInterval:
		return c, nil, fmt.Errorf("spandrel: MinInterval is %v, expected at least %v", c.MinInterval, leastInterval)
	case c.PushTimeout < 0:
		return c, nil, fmt.Errorf("spandrel: PushTimeout is %v, expected more than 0", c.PushTimeout)
	}
	endpoint, err := parseEndpoint(c.Endpoint)
	return c, endpoint, err
}

func setDefault[T comparable](setting *T, value T) {
	var unset T
	if *setting == unset {
		*setting = value
	}
}

func parseEndpoint(text string) (*url.URL, error) {
	endpoint, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("spandrel: Endpoint: %w", err)
	}
	if (endpoint.Scheme != "http" && endpoint.Scheme != "https") || endpoint.Host == "" {
		return nil, fmt.Errorf("spandrel: Endpoint is %q, expected a URL such as %s", endpoint.Redacted(), defaultEndpoint)
	}
	if endpoint.Path == "" || endpoint.Path == "/" {
		endpoint.Path = defaultPath
	}
	return endpoint, nil
}
