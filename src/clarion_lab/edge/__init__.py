"""The chaos case `edge`: attacks on the API's connections and requests, under an honest load."""
