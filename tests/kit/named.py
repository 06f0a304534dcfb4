"""An app that a test names."""

from forebay import App, Publication, Refuse

app = App()


@app.publish("chat:*")
def refuse(publication: Publication) -> None:
    raise Refuse("as it is named", code=500)
