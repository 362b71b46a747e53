package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

var httpWaits = []func(){
	httpIdle, httpResponse, httpRequestBody, httpResponseBody, httpConnection, httpFirstRequest,
	http2Response, http2ResponseBody, http2RequestBody,
}

func serve(handler http.HandlerFunc) *httptest.Server { return httptest.NewServer(handler) }

func fetch(client *http.Client, url string) {
	response := must(client.Get(url))
	must(io.Copy(io.Discard, response.Body))
	check(response.Body.Close())
}

// httpIdle leaves a connection open between two requests.
func httpIdle() {
	server := serve(func(http.ResponseWriter, *http.Request) {})
	defer server.Close()
	fetch(server.Client(), server.URL)
	time.Sleep(hold)
	fetch(server.Client(), server.URL)
}

// httpFirstRequest connects and says nothing.
func httpFirstRequest() {
	server := serve(func(http.ResponseWriter, *http.Request) {})
	conn := must(net.Dial("tcp", server.Listener.Addr().String()))
	time.Sleep(hold)
	conn.Close()
	server.Close()
}

func httpResponse() {
	server := serve(func(http.ResponseWriter, *http.Request) { httpHandler() })
	defer server.Close()
	fetch(server.Client(), server.URL)
}

func httpHandler() { time.Sleep(hold) }

func httpRequestBody() {
	reader, writer := io.Pipe()
	server := serve(func(_ http.ResponseWriter, request *http.Request) {
		after(func() { writer.Close() })
		httpServerBody(request)
	})
	defer server.Close()
	must(server.Client().Post(server.URL, "text/plain", reader)).Body.Close()
}

func httpServerBody(request *http.Request) { io.Copy(io.Discard, request.Body) }

func httpResponseBody() {
	server := serve(func(writer http.ResponseWriter, _ *http.Request) {
		writer.Write([]byte("first"))
		writer.(http.Flusher).Flush()
		time.Sleep(hold)
	})
	defer server.Close()
	fetch(server.Client(), server.URL)
}

// httpConnection waits for the only connection to a host.
func httpConnection() {
	begun := make(chan struct{}, 2)
	server := serve(func(http.ResponseWriter, *http.Request) { begun <- struct{}{}; time.Sleep(hold) })
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	var first sync.WaitGroup
	first.Add(1)
	go func() { fetch(client, server.URL); first.Done() }()
	<-begun
	fetch(client, server.URL)
	first.Wait()
}

func serve2(handler http.HandlerFunc) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	return server
}

func http2Response() {
	server := serve2(func(http.ResponseWriter, *http.Request) { time.Sleep(hold) })
	defer server.Close()
	fetch(server.Client(), server.URL)
}

func http2ResponseBody() {
	server := serve2(func(writer http.ResponseWriter, _ *http.Request) {
		writer.Write([]byte("first"))
		writer.(http.Flusher).Flush()
		time.Sleep(hold)
	})
	defer server.Close()
	fetch(server.Client(), server.URL)
}

func http2RequestBody() {
	reader, writer := io.Pipe()
	server := serve2(func(_ http.ResponseWriter, request *http.Request) {
		after(func() { writer.Close() })
		http2ServerBody(request)
	})
	defer server.Close()
	must(server.Client().Post(server.URL, "text/plain", reader)).Body.Close()
}

func http2ServerBody(request *http.Request) { io.Copy(io.Discard, request.Body) }
