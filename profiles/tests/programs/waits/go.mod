module example.com/waits

go 1.22.0

require (
	golang.org/x/sync v0.7.0
	golang.org/x/time v0.5.0
)
