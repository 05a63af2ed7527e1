//! Turns demand into one request per connection. Knows Upbit's overwrite rule; sends nothing itself.
